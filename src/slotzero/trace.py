"""One snipe's stage stamps, and what they say: how long each component took, split into own and waited time.

A snipe runs along one line of stamps, from the creation executed in the chain to the sell confirmed. Each stamp ends
one interval of that line, and an interval is either *own* (our CPU was busy with it) or *waited* (network, disk, the
slot). The honeypot's verdict is a branch beside that line: it starts with the pool and joins at the gate.
"""

import enum
from typing import Final, Literal

from msgspec import Struct

from slotzero.clock import elapsed_ns
from slotzero.units import DurationNs, MonoNs

__all__ = ["COMPONENTS", "Component", "Span", "Stage", "Stamp", "Trace"]


class Component(enum.Enum):
    """The thirteen components of the sniper, as its targets and results name them."""

    DETECTION = "DETECTION"
    HONEYPOT = "HONEYPOT"
    FILTERS = "FILTERS"
    EXECUTION = "EXECUTION"
    FULL_FLOW = "FULL_FLOW"
    POSITION_MONITOR = "POSITION_MONITOR"
    RUG_DETECTION = "RUG_DETECTION"
    PRIVACY = "PRIVACY"
    WALLET_ROTATION = "WALLET_ROTATION"
    FEE_OPTIMIZATION = "FEE_OPTIMIZATION"
    METADATA = "METADATA"
    PRICE_FEED = "PRICE_FEED"
    EXIT = "EXIT"


class Stamp(enum.IntEnum):
    """The instants of a snipe, in the order of its line."""

    CAUSE = 0
    """The chain executed the creation (only feeds that say so)."""
    FRAME = 1
    """Our feed read the frame."""
    POOL = 2
    """`NewPool` handed on."""
    FILTERED = 3
    """The filters decided."""
    PLANNED = 4
    """Size, limit and fees chosen."""
    SIGNED = 5
    """The buy's bytes are signed."""
    GATED = 6
    """The safety gate opened and the intent is on disk."""
    SENT = 7
    """The buy was handed to the socket."""
    CONFIRMED = 8
    """The buy is confirmed."""
    TRIGGERED = 9
    """An exit rule fired."""
    EXIT_SIGNED = 10
    """The sell's bytes are signed."""
    EXIT_SENT = 11
    """The sell was handed to the socket."""
    EXIT_CONFIRMED = 12
    """The sell is confirmed."""
    VERDICT = 13
    """Beside the line: the honeypot's verdict."""


_LINE: Final = tuple(stamp for stamp in Stamp if stamp is not Stamp.VERDICT)
_OWN: Final = frozenset(
    {Stamp.POOL, Stamp.FILTERED, Stamp.PLANNED, Stamp.SIGNED, Stamp.SENT, Stamp.EXIT_SIGNED},
)
"""Stamps whose interval (from the stamp before them on the line) is our own CPU time."""

COMPONENTS: Final[dict[Component, tuple[Stamp, Stamp]]] = {
    Component.DETECTION: (Stamp.CAUSE, Stamp.POOL),
    Component.HONEYPOT: (Stamp.POOL, Stamp.VERDICT),
    Component.FILTERS: (Stamp.POOL, Stamp.FILTERED),
    Component.EXECUTION: (Stamp.PLANNED, Stamp.CONFIRMED),
    Component.FULL_FLOW: (Stamp.CAUSE, Stamp.CONFIRMED),
    Component.EXIT: (Stamp.TRIGGERED, Stamp.EXIT_CONFIRMED),
}
"""Where a component starts and stops, for those that a snipe's line measures (docs/reference/glossary.md)."""


class Span(Struct, frozen=True, kw_only=True):
    """One component of one snipe: `total_ns` = `own_ns` + `waited_ns`.

    Attributes:
        own_ns: None where the line does not tell: the honeypot's layers run beside it.
        starts_at: "chain" when the first instant is the chain's own, "frame" when it is our reading of the frame.
    """

    component: Component
    total_ns: DurationNs
    own_ns: DurationNs | None
    waited_ns: DurationNs | None
    starts_at: Literal["chain", "frame"]


_STAGES: Final = {
    Stamp.FRAME: "delivery",
    Stamp.POOL: "decode",
    Stamp.FILTERED: "filters",
    Stamp.PLANNED: "plan",
    Stamp.SIGNED: "sign",
    Stamp.GATED: "gate",
    Stamp.SENT: "send",
    Stamp.CONFIRMED: "landing",
    Stamp.TRIGGERED: "hold",
    Stamp.EXIT_SIGNED: "exit plan",
    Stamp.EXIT_SENT: "exit send",
    Stamp.EXIT_CONFIRMED: "exit landing",
    Stamp.VERDICT: "honeypot",
}
"""What each interval is called, by the stamp that ends it."""


class Stage(Struct, frozen=True, kw_only=True):
    """One interval of a snipe's line, or the branch beside it.

    Attributes:
        kind: "own" is our CPU, "waited" the network, disk or slot, "held" the position's life, "beside" the branch of
            the honeypot's layers, which is part of no sum.
    """

    name: str
    kind: Literal["own", "waited", "held", "beside"]
    mono_start: MonoNs
    mono_end: MonoNs


class Trace:
    """The stamps of one snipe. A stamp is set once; setting it again moves it (an exit that is tried again)."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: list[int | None] = [None] * len(Stamp)

    def mark(self, stamp: Stamp, instant: int) -> None:
        """Set `stamp` to a monotonic instant. *Hot path* (about 0.1 us)."""
        self._at[stamp] = instant

    def at(self, stamp: Stamp) -> MonoNs | None:
        """Return the instant of `stamp`, or None when the snipe has not come there."""
        instant = self._at[stamp]
        return None if instant is None else MonoNs(instant)

    def span(self, component: Component) -> Span | None:
        """Return what `component` took, or None when the snipe did not go through it."""
        if component not in COMPONENTS:
            return None
        first, last = COMPONENTS[component]
        starts_at: Literal["chain", "frame"] = "chain"
        if first is Stamp.CAUSE and self._at[Stamp.CAUSE] is None:
            first, starts_at = Stamp.FRAME, "frame"
        start, end = self._at[first], self._at[last]
        if start is None or end is None:
            return None
        total = elapsed_ns(start, end)
        own = None if last is Stamp.VERDICT else DurationNs(min(self._own_between(first, last), total))
        return Span(
            component=component,
            total_ns=total,
            own_ns=own,
            waited_ns=None if own is None else DurationNs(total - own),
            starts_at=starts_at,
        )

    def spans(self) -> list[Span]:
        """Return the span of each component the snipe went through."""
        return [span for component in COMPONENTS if (span := self.span(component)) is not None]

    def stages(self) -> list[Stage]:
        """Return the intervals in the order of the line, the branch of the honeypot's layers last."""
        found: list[Stage] = []
        before = None
        for stamp in _LINE:
            at = self.at(stamp)
            if at is None:
                continue
            if before is not None:
                kind: Literal["own", "waited", "held"] = "own" if stamp in _OWN else "waited"
                found.append(
                    Stage(
                        name=_STAGES[stamp],
                        kind="held" if stamp is Stamp.TRIGGERED else kind,
                        mono_start=before,
                        mono_end=MonoNs(max(before, at)),
                    )
                )
            before = at
        pool, verdict = self.at(Stamp.POOL), self.at(Stamp.VERDICT)
        if pool is not None and verdict is not None:
            found.append(
                Stage(
                    name=_STAGES[Stamp.VERDICT],
                    kind="beside",
                    mono_start=pool,
                    mono_end=MonoNs(max(pool, verdict)),
                )
            )
        return found

    def as_dict(self) -> dict[str, int]:
        """Return the stamps by name, in nanoseconds of the monotonic clock."""
        return {stamp.name.lower(): at for stamp, at in zip(Stamp, self._at, strict=True) if at is not None}

    def _own_between(self, first: Stamp, last: Stamp) -> int:
        own, before = 0, self._at[first]
        for stamp in _LINE:
            at = self._at[stamp]
            if at is None or before is None or not first < stamp <= last:
                continue
            if stamp in _OWN:
                own += elapsed_ns(before, at)
            before = at
        return own
