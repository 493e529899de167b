import copy
import io
import json
import logging
import pickle
import traceback

import msgspec
import pytest
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from slotzero.secret import Secret, redacted_url

VALUE = "hunter2"
KEY = "0123456789abcdef0123"


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    secret: Secret[str]


def test_reveal_gives_the_value_back() -> None:
    assert Secret(VALUE).reveal() == VALUE


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret(VALUE)),
        str(Secret(VALUE)),
        f"{Secret(VALUE)}",
        f"{Secret(VALUE)!r:>40}",
        f"{Secret(VALUE):>40}",
        format(Secret(VALUE), "s"),
        "%s %r %a" % (Secret(VALUE), Secret(VALUE), Secret(VALUE)),  # noqa: UP031 the operator is what is tested
        repr([Secret(VALUE)]),
        repr({"key": Secret(VALUE)}),
        repr(Holder(secret=Secret(VALUE))),
        repr(ValueError(Secret(VALUE))),
        pretty_repr(Holder(secret=Secret(VALUE))),
        json.dumps({"key": Secret(VALUE)}, default=str),
    ],
)
def test_no_way_of_printing_shows_the_value(shown: str) -> None:
    assert VALUE not in shown
    assert "redacted" in shown


def test_logging_does_not_show_the_value(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("key %s %r", Secret(VALUE), [Secret(VALUE)])
    assert "key <redacted>" in caplog.text
    assert VALUE not in caplog.text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        pickle.dumps(Secret(VALUE), protocol)


def test_copying_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        copy.copy(Secret(VALUE))
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        copy.deepcopy([Secret(VALUE)])


def test_encoding_is_refused() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(Secret(VALUE))
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins):
        with pytest.raises(TypeError, match="unsupported"):
            encode(Holder(secret=Secret(VALUE)))


def test_attributes_are_not_open() -> None:
    secret = Secret(VALUE)
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(AttributeError):
        secret.value  # type: ignore[attr-defined] # noqa: B018 the refusal is what is tested


def test_traceback_does_not_show_the_value_not_even_with_locals() -> None:
    def fails(secret: Secret[str]) -> None:
        holder = Holder(secret=secret)
        raise RuntimeError(f"cannot use {secret} of {holder}")

    with pytest.raises(RuntimeError) as caught:
        fails(Secret(VALUE))
    error = caught.value
    plain = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    out = io.StringIO()
    rich_traceback = Traceback.from_exception(RuntimeError, error, error.__traceback__, show_locals=True)
    Console(file=out, width=300).print(rich_traceback)
    for shown in (plain, out.getvalue()):
        assert "cannot use <redacted>" in shown
        assert VALUE not in shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8899", "http://127.0.0.1:8899"),
        ("ws://localhost:8900/", "ws://localhost:8900/"),
        ("http://[::1]:8899/a/b", "http://[::1]:8899/a/b"),
        ("https://host.example/?api-key=hunter2", "https://host.example/"),
        ("https://host.example?hunter2", "https://host.example"),
        ("https://host.example/#hunter2", "https://host.example/"),
        ("https://me:hunter2@host.example:443/v1", "https://host.example:443/v1"),
        ("https://hunter2@host.example/", "https://host.example/"),
        ("https://me:hun@ter2@host.example/", "https://host.example/"),
        (f"https://host.example/v2/{KEY}", "https://host.example/v2/0123…"),
        (f"wss://host.example/{KEY}/ws?token={KEY}", "wss://host.example/0123…/ws"),
        ("https://host.example/123456789012345", "https://host.example/123456789012345"),
    ],
)
def test_url_is_shown_without_what_is_secret_in_it(url: str, expected: str) -> None:
    assert redacted_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "me:hunter2@host.example/v1",
        "//me:hunter2@host.example/",
        "http:/me:hunter2@host.example/",
        "http:\\\\me:hunter2@host.example/",
        "http://me:hunter2\\@host.example/",
        "http://me:8/hunter2@host.example/",
        "http://me:8?hunter2@host.example/",
        "http://me:8#hunter2@host.example/",
        "http://host.example:hunter2/",
        "http://host.example:99999/hunter2",
        "http://[hunter2/",
        "http://hunter2\n.example/",
        "http://hunter2\x1b[31m.example/",
        "hunter2://",
        "://hunter2",
        "\0hunter2",
    ],
)
def test_what_is_no_clear_url_is_not_shown_at_all(url: str) -> None:
    assert redacted_url(url) == "<redacted>"
