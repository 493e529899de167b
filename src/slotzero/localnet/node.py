"""What an RPC method is handed: the chain, and gauges of the parts around it."""

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct, field

from slotzero.localnet.chain import Chain
from slotzero.localnet.params import Params

__all__ = ["Method", "Node", "ProcessUsage", "process_usage"]

_STATM: Final = Path("/proc/self/statm")
_BYTES_PER_MAXRSS: Final = 1 if sys.platform == "darwin" else 1024


class Node(Struct, frozen=True, kw_only=True):
    """The chain and what else can be asked about.

    Attributes:
        gauges: Named counters of other parts (subscriptions, garbage collection), shown by `slotzero_stats`.
    """

    chain: Chain
    gauges: dict[str, Callable[[], object]] = field(default_factory=dict)


Method: TypeAlias = Callable[[Node, Params], object]
"""One RPC method: parameters as decoded JSON in, result to be encoded out; `RpcFault` for an error."""


class ProcessUsage(Struct, frozen=True, kw_only=True, rename="camel"):
    """What this process uses: CPU seconds since its start, resident memory in bytes now."""

    cpu_seconds: float
    rss_bytes: int


def process_usage() -> ProcessUsage:
    """Return what this process uses. *Does I/O* (one line of /proc; elsewhere the peak stands for the present)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    try:
        rss = int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        rss = usage.ru_maxrss * _BYTES_PER_MAXRSS
    return ProcessUsage(cpu_seconds=usage.ru_utime + usage.ru_stime, rss_bytes=rss)
