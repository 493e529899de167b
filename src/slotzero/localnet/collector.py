"""Keep the garbage collector off the slots' back.

CPython starts a collection whenever enough objects have been allocated, that is in the middle of a request. A
generation-2 pass over a chain with decoded records took 111-196 ms, and slots opened that much late. So:

* what exists after set-up (modules, genesis, the VM) is frozen: never looked at again;
* automatic collection is off;
* the owner of the slots runs a collection right after a slot has opened, the moment with the longest way to the next
  deadline, every second. It looks at what was made since the last one (after half a minute that took 56 ms at 100
  snipes a second, while what the slot's opening had set off waited; after a second it takes 6 ms at the most under
  STRESS); a whole one comes every few minutes. Both are cheap because the history holds nothing the collector follows
  (see `history`).

What is left to find are cycles of the HTTP server and of exceptions. The measured pauses are in `slotzero_stats`.
"""

import gc
from typing import Final

from msgspec import Struct

from slotzero.clock import as_ms, elapsed_ns, mono_ns
from slotzero.units import DurationNs, LatencyMs

__all__ = ["Collector", "CollectorStats"]

SLOTS_BETWEEN: Final = 5
"""A second at 200 ms."""
SLOTS_BETWEEN_WHOLE: Final = 300 * SLOTS_BETWEEN
_YOUNG: Final = 0
_WHOLE: Final = 2


class CollectorStats(Struct, frozen=True, kw_only=True, rename="camel"):
    """How often the garbage was collected and how long that stopped the chain."""

    collections: int
    last_ms: LatencyMs
    max_ms: LatencyMs


class Collector:
    """Run the garbage collection of this process by slots. One per process: the collector is the process's."""

    def __init__(self) -> None:
        self._slots = 0
        self._collections = 0
        self._last = DurationNs(0)
        self._max = DurationNs(0)

    def start(self) -> None:
        """Freeze what exists and switch automatic collection off. Call it once, after set-up."""
        gc.collect()
        gc.freeze()
        gc.disable()

    def stop(self) -> None:
        """Give the collector back to the interpreter."""
        gc.enable()
        gc.unfreeze()

    def after_slot(self) -> None:
        """Collect if it is time to."""
        self._slots += 1
        if self._slots % SLOTS_BETWEEN:
            return
        start = mono_ns()
        gc.collect(_YOUNG if self._slots % SLOTS_BETWEEN_WHOLE else _WHOLE)
        self._last = elapsed_ns(start, mono_ns())
        self._max = max(self._max, self._last)
        self._collections += 1

    def stats(self) -> CollectorStats:
        """Return the counters."""
        return CollectorStats(collections=self._collections, last_ms=as_ms(self._last), max_ms=as_ms(self._max))
