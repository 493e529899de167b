"""How surprising paired differences are: Wilcoxon's signed-rank tail. Sans-I/O.

Model: if differences are symmetric about 0, each rank of their absolute values carries a plus with chance 1/2, whatever
the distribution (Wilcoxon 1945). The chance that the ranks with a plus add up to at least what was seen is counted
exactly up to 50 differences without ties and up to 25 with some (Hollander and Wolfe, section 3.1), and approximated by
a normal variable with corrections for ties and continuity beyond.

Assumptions: differences are independent of each other and symmetric about the shift tested. Random order within a pair
brings symmetry about; independence between launches is more than independence between the blocks of one launch.

Weaknesses: blocks of one launch share what that launch drew (addresses, hash seed), so the tail is too small where
launches differ; the verdict asks the launches themselves as well. A difference of exactly 0 is left out, as usual.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, groupby
from statistics import NormalDist
from typing import Final

__all__ = ["signed_rank_tail"]

_EXACT: Final = 50
_EXACT_WITH_TIES: Final = 25


def signed_rank_tail(differences: Sequence[float]) -> float:
    """Return the chance of differences at least as far above 0 as these when they are symmetric about 0. *Pure.*

    1.0 for no difference other than 0: nothing speaks for anything.
    """
    nonzero = sorted((value for value in differences if value), key=abs)
    count = len(nonzero)
    if not count:
        return 1.0
    total, place, ties, twice = 0.0, 0, 0, list[int]()
    for _, group in groupby(nonzero, key=abs):
        members = list(group)
        size = len(members)
        total += sum(value > 0 for value in members) * (place + (size + 1) / 2)
        ties += size**3 - size
        twice += [2 * place + size + 1] * size  # tied differences share the mean of their ranks
        place += size
    if ties == 0 and count <= _EXACT:
        return _exact(count)[round(total)]
    if count <= _EXACT_WITH_TIES:
        return _tails(twice)[round(2 * total)]
    mean = count * (count + 1) / 4
    spread = math.sqrt(count * (count + 1) * (2 * count + 1) / 24 - ties / 48)
    return 1 - NormalDist().cdf((total - mean - 0.5) / spread) if spread else 1.0


@lru_cache(maxsize=_EXACT)
def _exact(count: int) -> tuple[float, ...]:
    """Return the chance of a rank sum of at least 0, 1, 2, ... for `count` differences."""
    return _tails(range(1, count + 1))


def _tails(ranks: Iterable[int]) -> tuple[float, ...]:
    """Return the chance of a sum of at least 0, 1, 2, ... where each rank counts with chance 1/2."""
    ways = [1]
    for rank in ranks:
        longer = [*ways, *([0] * rank)]
        for total, number in enumerate(ways):
            longer[total + rank] += number
        ways = longer
    whole = sum(ways)
    return tuple(number / whole for number in reversed(list(accumulate(reversed(ways)))))
