"""What is no request at all, and how many of them a body may hold."""

import msgspec
import pytest

from chain_world import World
from slotzero.localnet.params import INVALID_REQUEST, PARSE_ERROR
from slotzero.localnet.rpc import MAX_BATCH, is_admin

HEALTH = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
UNREADABLE = [
    pytest.param(b"no json", id="no JSON"),
    pytest.param(b'"\xff"', id="bad UTF-8 in a string"),
    pytest.param(b'{"jsonrpc":"2.0","id":1,"method":"slotzero_\xff"}', id="bad UTF-8 in a method"),
    pytest.param(b'{"\xff":1}', id="bad UTF-8 in a key"),
    pytest.param(b'"\xed\xa0\x80"', id="half of a surrogate pair"),
    pytest.param(b"[" * 100_000, id="too deep"),
]


@pytest.mark.parametrize("body", UNREADABLE)
def test_what_cannot_be_read_is_a_parse_error_and_nobody_s_command(body: bytes) -> None:
    answer = msgspec.json.decode(World().rpc.handle(body))
    assert (answer["id"], answer["error"]["code"]) == (None, PARSE_ERROR)
    assert answer["error"]["message"].startswith("Parse error: ")
    assert not is_admin(body)


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
def test_batch_of_none_or_too_many_is_refused_as_a_whole(count: int) -> None:
    answer = msgspec.json.decode(World().rpc.handle(msgspec.json.encode([HEALTH] * count)))
    message = f"Invalid request: a batch holds 1 to {MAX_BATCH} requests, got {count}"
    assert (answer["id"], answer["error"]) == (None, {"code": INVALID_REQUEST, "message": message})


def test_largest_batch_is_answered() -> None:
    assert len(msgspec.json.decode(World().rpc.handle(msgspec.json.encode([HEALTH] * MAX_BATCH)))) == MAX_BATCH
