"""From two blocks of samples to one observation for each percentile. Sans-I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence

from slotzero.perf.stats import nearest_rank
from slotzero.perf.types import PERCENTILES

__all__ = ["log_ratios", "quantiles"]


def quantiles(samples_ns: Sequence[int], metrics: Iterable[str]) -> dict[str, float]:
    """Return the percentiles of one block by name. *Pure.* Raises ValueError for an empty block."""
    ordered = sorted(samples_ns)
    return {metric: nearest_rank(ordered, PERCENTILES[metric]) for metric in metrics}


def log_ratios(base: Mapping[str, float], new: Mapping[str, float]) -> dict[str, float]:
    """Return how much longer the new block took, as logarithms of ratios. *Pure.*

    Raises:
        ValueError: A percentile is 0: the clock does not resolve these calls.
    """
    if min(*base.values(), *new.values()) <= 0:
        raise ValueError("a block took no time at all: the clock does not resolve these calls")
    return {metric: math.log(new[metric] / base[metric]) for metric in base}
