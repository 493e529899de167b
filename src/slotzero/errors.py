"""The one tree of operating faults.

::

    SlotzeroError
    ├── UsageError                 wrong use of a command: exit 2
    │   └── ConfigError            all problems of a configuration at once
    ├── MalformedError             bytes or JSON from outside that are not what they claim to be
    ├── EndpointError              a server we talk to
    │   ├── TransportError         no answer: refused, reset, timed out, closed
    │   ├── RateLimitedError       HTTP 429
    │   ├── RpcError               a JSON-RPC error object (code, message, data)
    │   └── SubscriptionError      a subscription the server refused
    ├── LocalnetError              the embedded chain could not start or went away
    ├── WorkerError                a process that measures ended, hung or answered nonsense
    └── JournalError               the journal cannot be used
        └── JournalLockedError     another process holds it

Each class says whether trying again may help (`retry`). A bug is not in this tree (assert, TypeError, ValueError);
an expected outcome (slippage hit, transaction expired) is a returned record, and an unknown outcome is a state.
"""

import enum

__all__ = [
    "ConfigError",
    "EndpointError",
    "JournalError",
    "JournalLockedError",
    "LocalnetError",
    "MalformedError",
    "RateLimitedError",
    "Retry",
    "RpcError",
    "SlotzeroError",
    "SubscriptionError",
    "TransportError",
    "UsageError",
    "WorkerError",
]


class Retry(enum.Enum):
    """Whether the same request may be tried again."""

    RETRY = "retry"
    DO_NOT_RETRY = "do_not_retry"
    FATAL = "fatal"


class SlotzeroError(Exception):
    """Any operating fault of ours; its text is one sentence for a person."""

    retry: Retry = Retry.DO_NOT_RETRY


class UsageError(SlotzeroError):
    """A command was called wrongly; the sentence says what to do instead."""


class ConfigError(UsageError):
    """A configuration that cannot be used.

    Attributes:
        source: The file's name, or what the text came from.
        problems: One sentence for each problem, beginning with its path (`trade.buy_lamports: ...`).
    """

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(f"{source} has {count}: " + "; ".join(problems))


class MalformedError(SlotzeroError):
    """Bytes or JSON from outside are not what they claim to be."""


class EndpointError(SlotzeroError):
    """A server we talk to did not do what was asked.

    Attributes:
        endpoint: Its address without credentials and query string.
    """

    retry = Retry.RETRY

    def __init__(self, endpoint: str, message: str) -> None:
        self.endpoint = endpoint
        super().__init__(f"{endpoint}: {message}")


class TransportError(EndpointError):
    """No answer came: refused, reset, timed out or closed. What was asked may still have been done."""


class RateLimitedError(EndpointError):
    """The server answered HTTP 429.

    Attributes:
        retry_after_ms: What the server asked us to wait, or None.
    """

    def __init__(self, endpoint: str, retry_after_ms: int | None) -> None:
        self.retry_after_ms = retry_after_ms
        wait = "" if retry_after_ms is None else f"; it asks for {retry_after_ms} ms of patience"
        super().__init__(endpoint, f"too many requests (HTTP 429){wait}")


class RpcError(EndpointError):
    """The server answered with a JSON-RPC error object.

    Attributes:
        code: The error's number, for example -32002 (preflight failure).
        rpc_message: The server's own text.
        data: The error's data as decoded JSON, or None.
    """

    retry = Retry.DO_NOT_RETRY

    def __init__(self, endpoint: str, code: int, rpc_message: str, data: object = None) -> None:
        self.code = code
        self.rpc_message = rpc_message
        self.data = data
        super().__init__(endpoint, f"RPC error {code}: {rpc_message}")


class SubscriptionError(EndpointError):
    """The server refused a subscription; asking again without a change will not help."""

    retry = Retry.DO_NOT_RETRY


class LocalnetError(SlotzeroError):
    """The embedded chain could not start, or went away."""

    retry = Retry.FATAL


class WorkerError(SlotzeroError):
    """A process that measures for the lab ended, hung or answered nonsense; what it was doing is in the sentence."""


class JournalError(SlotzeroError):
    """The journal cannot be used. Nothing is traded without one."""

    retry = Retry.FATAL


class JournalLockedError(JournalError):
    """Another process holds the journal."""
