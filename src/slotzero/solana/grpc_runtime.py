"""gRPC as we use it: quiet, and deaf to proxies of the environment.

Its C core writes to stderr by itself, a line for every server that goes away for instance, which is no fault of ours to
tell twice. It reads its settings when it is first used, so whoever uses gRPC imports it from here.
"""

import os
from typing import Final

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc
from grpc import aio

__all__ = ["CLIENT_OPTIONS", "aio", "grpc"]

CLIENT_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.enable_http_proxy", 0),  # no host that nobody has configured
    # Else channels to one address share a connection and its pauses after failures, of up to two minutes: a new channel
    # could not try at once.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 64 << 20),  # its own 4 MB are less than a block
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
)
