"""How a paired comparison is laid out: launches, rounds, blocks, and the order of all of them. Sans-I/O.

Model: a *launch* is a pair of fresh processes, one for each version. Within it come *rounds*; in each round every
workload runs one *block* of calls in both versions, one right after the other. What disturbs the machine for longer
than two blocks hits both alike and cancels in their ratio. Which version goes first is drawn at random and balanced:
each goes first in half of the rounds, so that what the second one gains or loses by coming second cancels as well.

Assumptions: the machine's mood lasts longer than two blocks (some milliseconds), and a version's speed does not depend
on what the other one did.

Weaknesses: a disturbance shorter than a block hits one side only; it is noise, and the reason for many short blocks
rather than few long ones (for p95, blocks of 50 found more than blocks of 100). The first calls after a switch meet
caches the other version has filled and are dropped (the first was 61 % slower here, the fourth below 1 %). Calls that
tell their own time and do much besides meet cold caches anyway: of them two are dropped (the first was 11 % slower, the
second 5 %, the third no more), and there are few to a block, so that its p95 is its slowest call.
"""

from random import Random
from typing import Final

from msgspec import Struct

__all__ = ["DEFAULT_DESIGN", "Design", "Size", "Turn", "turns"]


class Size(Struct, frozen=True, kw_only=True):
    """How much of one workload a launch measures.

    Attributes:
        rounds: Blocks of each version; even.
        calls: Calls of a block, the dropped ones included.
        dropped: Calls at the start of a block that do not count.
        loops: How many calls are timed as one sample.
    """

    rounds: int
    calls: int
    dropped: int
    loops: int = 1


class Design(Struct, frozen=True, kw_only=True):
    """The size of a comparison. Validated on construction (ValueError).

    Attributes:
        looks: After how many launches the figures are looked at; what is decided then needs no further launch.
        rounds: Blocks of each version in a launch; even, so that both can go first equally often.
        calls: Calls of a block, the dropped ones included.
        dropped: Calls at the start of a block that do not count.
        sample_ns: A sample lasts at least about this long: shorter calls are timed in groups of equal size. 300 times
            what two readings of the clock take, so that the clock is a third of a percent at most.
        block_ns: A block lasts at most about this long: slow calls are fewer to a block, never under 20, or under 10
            where they tell their own time.
        told_ns: Where calls tell their own time, all blocks of a launch last at most about this long together: slow
            calls have fewer rounds, never under 4.
        repeat: Whether an alarm is measured a second time, independently, before it counts.
    """

    looks: tuple[int, ...] = (3, 6, 9, 12)
    rounds: int = 10
    calls: int = 60
    dropped: int = 10
    sample_ns: int = 20_000
    block_ns: int = 50_000_000
    told_ns: int = 3_200_000_000
    repeat: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be balanced or judged."""
        if not self.looks or list(self.looks) != sorted(set(self.looks)) or self.looks[0] < _FEWEST_LAUNCHES:
            raise ValueError(f"looks must ascend and begin at {_FEWEST_LAUNCHES} launches at least, got {self.looks}")
        if self.looks[-1] * self.rounds > _MOST_PAIRS:
            raise ValueError(f"at most {_MOST_PAIRS} pairs of blocks, got {self.looks[-1]} x {self.rounds}")
        if self.rounds < 2 or self.rounds % 2:  # noqa: PLR2004 a balanced pair of orders
            raise ValueError(f"rounds must be even and at least 2, got {self.rounds}")
        if not 0 <= self.dropped < self.calls - 9:
            raise ValueError(f"a block needs 10 calls that count, got {self.calls} with {self.dropped} dropped")

    def calls_of(self, call_ns: int) -> int:
        """Return how many calls a block of such calls has, the dropped ones included."""
        return min(self.calls, max(self.dropped + 20, self.block_ns // max(1, call_ns)))

    def loops_of(self, call_ns: int) -> int:
        """Return how many calls are timed as one sample."""
        return max(1, -(-self.sample_ns // max(1, call_ns))) if call_ns < self.sample_ns else 1

    def size_of(self, shortest_ns: int, longest_ns: int) -> Size:
        """Return the size for calls that take so long, in the faster and in the slower version."""
        calls, loops = self.calls_of(longest_ns), self.loops_of(shortest_ns)
        return Size(rounds=self.rounds, calls=calls, dropped=self.dropped, loops=loops)

    def told_size_of(self, call_ns: int) -> Size:
        """Return the size for calls that tell their own time and last so long, whatever they tell."""
        call_ns, dropped = max(1, call_ns), min(self.dropped, _TOLD_DROPPED)
        calls = min(self.calls, max(dropped + 10, self.block_ns // call_ns))
        pairs_of_rounds = self.told_ns // (4 * calls * call_ns)
        return Size(rounds=min(self.rounds, max(4, 2 * pairs_of_rounds)), calls=calls, dropped=dropped)


_TOLD_DROPPED: Final = 2
_FEWEST_LAUNCHES: Final = 3
"""Two launches give a t interval twelve standard errors wide."""
_MOST_PAIRS: Final = 2_000
DEFAULT_DESIGN: Final = Design()


class Turn(Struct, frozen=True, kw_only=True):
    """One pair of blocks: which workload, and which version goes first."""

    name: str
    base_first: bool


def turns(names: tuple[str, ...], rounds: int, draw: Random) -> list[Turn]:
    """Return the pairs of one launch in order: workloads shuffled within each round. *Pure.*

    First places are balanced in every two rounds, so that one may stop after any even number of them.

    Args:
        names: The workloads still of interest.
        rounds: Pairs of blocks for each; even.
        draw: Whose numbers decide.
    """
    first = {name: [draw.random() < 0.5 for _ in range(rounds // 2)] for name in names}  # noqa: PLR2004 a coin
    order = list(names)
    made = []
    for number in range(rounds):
        draw.shuffle(order)
        made += [Turn(name=name, base_first=first[name][number // 2] == (number % 2 == 0)) for name in order]
    return made
