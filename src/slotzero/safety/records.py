"""What a safety check says: evidence of single layers, and the verdict they add up to."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from solders.pubkey import Pubkey

__all__ = ["Decision", "Evidence", "Verdict", "combine"]

Decision = Literal["ALLOW", "DENY", "UNSURE"]
"""UNSURE is *not known*, never *probably fine*: nothing is sent on it."""


class Evidence(Struct, frozen=True, kw_only=True):
    """One finding of one layer.

    Attributes:
        layer: The layer's name, for example "mint_facts".
        decision: What this finding alone would lead to. ALLOW with a reason other than "passed" is a note: worth
            knowing, no obstacle.
        reason: A short machine word that stays the same between releases, for counters and filters: "passed",
            "freeze_authority", "mint_authority", "transfer_fee", "round_trip_failed", "not_answered_in_time" ...
        detail: One sentence for a person with the values found. Printable text only.
    """

    layer: str
    decision: Decision
    reason: str
    detail: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What all layers add up to, by the rule of `combine`.

    Attributes:
        evidence: Every finding, in the order of the layers.
        facts_decision: The same over those layers alone which judge facts (gate "facts").
        depends_on: The accounts whose change makes the verdict stale, for a cache.
    """

    decision: Decision
    evidence: tuple[Evidence, ...]
    facts_decision: Decision
    depends_on: tuple[Pubkey, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons against the pool, each once: what denied it first, then what stayed unknown."""
        denied = [item.reason for item in self.evidence if item.decision == "DENY"]
        unsure = [item.reason for item in self.evidence if item.decision == "UNSURE"]
        return tuple(dict.fromkeys(denied + unsure))

    @property
    def notes(self) -> tuple[str, ...]:
        """The reasons of findings that are no obstacle but worth knowing, each once."""
        found = [item.reason for item in self.evidence if item.decision == "ALLOW" and item.reason != "passed"]
        return tuple(dict.fromkeys(found))


def combine(evidence: Iterable[Evidence]) -> Decision:
    """Return DENY if anything denies, ALLOW if everything allows, else UNSURE. *Pure.*

    No evidence at all is UNSURE: a check that ran nothing has shown nothing.
    """
    decisions = {item.decision for item in evidence}
    if "DENY" in decisions:
        return "DENY"
    return "ALLOW" if decisions == {"ALLOW"} else "UNSURE"
