"""What a load test tells while it runs: one frozen record now and then, for the metrics."""

from msgspec import Struct

from slotzero.perf.histogram import Histogram

__all__ = ["LoadProgress"]


class LoadProgress(Struct, frozen=True, kw_only=True):
    """How far a load test has come. All numbers count from its start.

    Attributes:
        in_flight: Operations under way now.
        finished: Finished operations by status: "ok", or the class of the error.
        durations: Of the successful ones. It is read at once, so the generator may go on filling it.
    """

    scenario: str
    in_flight: int
    finished: dict[str, int]
    durations: Histogram
