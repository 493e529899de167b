"""What an RPC method is handed: the chain, the faults of its port, the ports, and gauges of the parts around it."""

import os
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from msgspec import Struct, field

from slotzero.localnet.chain import Chain
from slotzero.localnet.faults import FaultPlan, Faults
from slotzero.localnet.params import Params

__all__ = ["Method", "Node", "PortControl", "ProcessUsage", "process_usage"]

_STATM: Final = Path("/proc/self/statm")
_BYTES_PER_MAXRSS: Final = 1 if sys.platform == "darwin" else 1024


class PortControl(Protocol):
    """What a method may do to a port."""

    faults: Faults

    def set_faults(self, plan: FaultPlan) -> None:
        """Have its faults be these."""
        ...

    def start(self) -> None:
        """Listen again. Raises UsageError when somebody else has the port now."""
        ...

    def stop(self) -> None:
        """Refuse new connections and cut the others."""
        ...

    def stats(self) -> object:
        """Return the counters."""
        ...


class Node(Struct, frozen=True, kw_only=True):
    """The chain as one port shows it, and what else can be asked about.

    Attributes:
        gauges: Named counters of other parts (subscriptions, garbage collection), shown by `slotzero_stats`.
        faults: Those of the port the request came through.
        ports: All ports by name: `"first"`, and `"second"` if there is one.
        added: Admin methods that services beside the chain have added; on every port.
    """

    chain: Chain
    gauges: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    ports: Mapping[str, PortControl] = field(default_factory=dict)
    added: Mapping[str, "Method"] = field(default_factory=dict)


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
