"""What a safety check says: evidence of single layers, and the verdict they add up to."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from solders.pubkey import Pubkey

__all__ = ["CheckPolicy", "Decision", "Evidence", "Role", "Verdict", "combine"]

Decision = Literal["ALLOW", "DENY", "UNSURE"]
"""UNSURE is *not known*, never *probably fine*: nothing is sent on it."""
Role = Literal["required", "advisory"]
"""How a layer counts. What either denies is denied; what a required one does not know is not allowed, what an advisory
one does not know is a note."""


class CheckPolicy(Struct, frozen=True, kw_only=True):
    """How each layer counts.

    Attributes:
        roles: By the layer's name. One that is not here is required: a check fails closed.
    """

    roles: dict[str, Role] = {}

    def is_required(self, layer: str) -> bool:
        """Tell whether nothing is allowed while this layer is unsure. *Pure.*"""
        return self.roles.get(layer, "required") == "required"


class Evidence(Struct, frozen=True, kw_only=True):
    """One finding of one layer.

    Attributes:
        layer: The layer's name, for example "mint_facts".
        decision: What this finding alone would lead to. ALLOW with a reason other than "passed" is a note: worth
            knowing, no obstacle.
        reason: A short machine word that stays the same between releases, for counters and filters: "passed",
            "freeze_authority", "mint_authority", "transfer_fee", "round_trip_failed", "not_answered_in_time" ...
        detail: One sentence for a person with the values found. Printable text only.
        is_required: Whether the layer must be sure; set by the check, from its policy.
    """

    layer: str
    decision: Decision
    reason: str
    detail: str
    is_required: bool = True

    @property
    def is_gap(self) -> bool:
        """Whether this is something unknown that nobody insists on."""
        return self.decision == "UNSURE" and not self.is_required


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
        unsure = [item.reason for item in self.evidence if item.decision == "UNSURE" and item.is_required]
        return tuple(dict.fromkeys(denied + unsure))

    @property
    def notes(self) -> tuple[str, ...]:
        """The reasons of findings that are no obstacle but worth knowing, each once; gaps of advisory layers, too."""
        found = [
            item.reason
            for item in self.evidence
            if item.is_gap or (item.decision == "ALLOW" and item.reason != "passed")
        ]
        return tuple(dict.fromkeys(found))


def combine(evidence: Iterable[Evidence]) -> Decision:
    """Return DENY if anything denies, ALLOW if everything allows, else UNSURE. *Pure.*

    What an advisory layer does not know is left out. No evidence at all is UNSURE: a check that ran nothing has shown
    nothing, and so has one that learned nothing.
    """
    decisions = {item.decision for item in evidence if not item.is_gap}
    if "DENY" in decisions:
        return "DENY"
    return "ALLOW" if decisions == {"ALLOW"} else "UNSURE"
