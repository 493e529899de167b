import inspect

import pytest

from slotzero import errors
from slotzero.errors import (
    ConfigError,
    EndpointError,
    JournalError,
    JournalLockedError,
    LocalnetError,
    MalformedError,
    RateLimitedError,
    Retry,
    RpcError,
    SlotzeroError,
    SubscriptionError,
    TransportError,
    UsageError,
)

ENDPOINT = "http://127.0.0.1:8899"


def test_all_errors_are_exported_stand_in_one_tree_and_are_drawn_in_it() -> None:
    classes = {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and cls is not Retry}
    assert set(classes) | {"Retry"} == set(errors.__all__)
    for name, cls in classes.items():
        assert issubclass(cls, SlotzeroError)
        assert name.endswith("Error")
        assert name in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("error", "parent", "retry"),
    [
        (UsageError("x"), SlotzeroError, Retry.DO_NOT_RETRY),
        (ConfigError("x", []), UsageError, Retry.DO_NOT_RETRY),
        (MalformedError("x"), SlotzeroError, Retry.DO_NOT_RETRY),
        (TransportError(ENDPOINT, "x"), EndpointError, Retry.RETRY),
        (RateLimitedError(ENDPOINT, None), EndpointError, Retry.RETRY),
        (RpcError(ENDPOINT, 1, "x"), EndpointError, Retry.DO_NOT_RETRY),
        (SubscriptionError(ENDPOINT, "x"), EndpointError, Retry.DO_NOT_RETRY),
        (LocalnetError("x"), SlotzeroError, Retry.FATAL),
        (JournalError("x"), SlotzeroError, Retry.FATAL),
        (JournalLockedError("x"), JournalError, Retry.FATAL),
    ],
)
def test_error_has_its_place_and_says_whether_trying_again_helps(
    error: SlotzeroError, parent: type[SlotzeroError], retry: Retry
) -> None:
    assert isinstance(error, parent)
    assert error.retry is retry


def test_config_error_holds_its_source_and_all_problems() -> None:
    error = ConfigError("my.toml", ["a: wrong", "b: wrong"])
    assert error.source == "my.toml"
    assert error.problems == ("a: wrong", "b: wrong")
    assert str(error) == "my.toml has 2 problems: a: wrong; b: wrong"
    assert str(ConfigError("my.toml", ["a: wrong"])) == "my.toml has 1 problem: a: wrong"


def test_endpoint_errors_name_their_endpoint() -> None:
    error = TransportError(ENDPOINT, "no answer in 500 ms")
    assert error.endpoint == ENDPOINT
    assert str(error) == "http://127.0.0.1:8899: no answer in 500 ms"


def test_rate_limited_error_says_how_long_to_wait_when_it_was_told() -> None:
    assert str(RateLimitedError(ENDPOINT, None)) == "http://127.0.0.1:8899: too many requests (HTTP 429)"
    error = RateLimitedError(ENDPOINT, 250)
    assert error.retry_after_ms == 250
    assert str(error).endswith("(HTTP 429); it asks for 250 ms of patience")


def test_rpc_error_holds_code_message_and_data() -> None:
    error = RpcError(ENDPOINT, -32002, "preflight failed", {"logs": []})
    assert (error.code, error.rpc_message, error.data) == (-32002, "preflight failed", {"logs": []})
    assert str(error) == "http://127.0.0.1:8899: RPC error -32002: preflight failed"
    assert RpcError(ENDPOINT, 1, "x").data is None
