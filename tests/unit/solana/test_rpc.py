"""The RPC client against a small HTTP server on loopback that answers as the test says."""

import asyncio
import json
import socket
import traceback
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from solders.hash import Hash

from slotzero.errors import (
    EndpointError,
    MalformedError,
    RateLimitedError,
    Retry,
    RpcError,
    SlotzeroError,
    TransportError,
)
from slotzero.solana.rpc import RpcClient
from slotzero.units import Lamports
from trading_lab import SIGNER, key

KEY = "k3yThatNobodyMaySeeAnywhere"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CONTEXT = {"slot": 9, "apiVersion": "3.0"}


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """Serve `handler` for every path on a free loopback port."""
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Asked:
    """What a server was asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    @property
    def last(self) -> tuple[str, list[Any]]:
        return self.requests[-1]["method"], self.requests[-1]["params"]


@asynccontextmanager
async def answering(result: object) -> AsyncIterator[tuple[RpcClient, Asked]]:
    """A client of a node that answers every request with `result`."""
    asked = Asked()

    async def handler(request: web.Request) -> web.Response:
        body = await request.json()
        asked.requests.append(body)
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": result})

    async with serving(handler) as port, RpcClient(f"http://127.0.0.1:{port}") as rpc:
        yield rpc, asked


@asynccontextmanager
async def replying(response: Callable[[], web.StreamResponse]) -> AsyncIterator[RpcClient]:
    """A client of a server that replies in its own way. Its address is full of a secret."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return response()

    async with serving(handler) as port, RpcClient(secret_url(port)) as rpc:
        yield rpc


def secret_url(port: int) -> str:
    return f"http://{KEY}:{KEY}@127.0.0.1:{port}/{KEY}/rpc?api-key={KEY}#{KEY}"


def text(body: str, status: int = 200, **headers: str) -> Callable[[], web.Response]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: web.Response(text=body, status=status, headers=names)


async def fault_of(call: Awaitable[object]) -> SlotzeroError:
    """What a call raises, after a look for the secret in everything that could be printed of it."""
    with pytest.raises(SlotzeroError) as caught:
        await call
    error: BaseException | None = caught.value
    assert KEY not in "".join(traceback.format_exception(caught.value))
    while error is not None:  # a reporter may follow the chain that a traceback hides
        assert KEY not in f"{error!r} {error} {error.args} {vars(error)}"
        error = error.__cause__ or error.__context__
    if isinstance(caught.value, EndpointError):
        assert caught.value.endpoint.startswith("http://127.0.0.1:")
    return caught.value


# ---- replies -------------------------------------------------------------------------------------------------------


async def test_request_is_json_rpc_with_an_id_of_its_own() -> None:
    async with answering("hash") as (rpc, asked):
        await rpc.get_genesis_hash()
        await rpc.get_genesis_hash()
    assert [request["jsonrpc"] for request in asked.requests] == ["2.0", "2.0"]
    assert len({request["id"] for request in asked.requests}) == 2
    assert asked.last == ("getGenesisHash", [])


async def test_version_is_the_nodes_own_object() -> None:
    async with answering({"solana-core": "4.2.0", "feature-set": 1}) as (rpc, _):
        assert await rpc.get_version() == {"solana-core": "4.2.0", "feature-set": 1}


async def test_latest_blockhash_names_its_commitment_and_comes_with_its_limit() -> None:
    value = Hash.new_unique()
    reply = {"context": CONTEXT, "value": {"blockhash": str(value), "lastValidBlockHeight": 159}}
    async with answering(reply) as (rpc, asked):
        newest = await rpc.get_latest_blockhash("confirmed")
    assert (newest.hash, newest.last_valid_block_height) == (value, 159)
    method, (options,) = asked.last
    assert (method, options["commitment"]) == ("getLatestBlockhash", "confirmed")


async def test_numbers_are_read() -> None:
    async with answering(7) as (rpc, asked):
        assert await rpc.get_block_height("confirmed") == 7
        assert await rpc.get_minimum_balance(165) == 7
        assert asked.last == ("getMinimumBalanceForRentExemption", [165])
    async with answering({"context": CONTEXT, "value": 2**64 - 1}) as (rpc, asked):
        assert await rpc.get_balance(key(1), "processed") == 2**64 - 1
        assert asked.last[1][0] == str(key(1))


async def test_accounts_come_in_their_order_with_none_where_there_is_none() -> None:
    account = {
        "lamports": 5,
        "owner": str(key(8)),
        "data": [b64encode(b"\x00\xffdata").decode(), "base64"],
        "executable": True,
        "rentEpoch": 2**64 - 1,
        "space": 6,
    }
    async with answering({"context": CONTEXT, "value": [None, account]}) as (rpc, asked):
        nothing, found = await rpc.get_multiple_accounts([key(1), key(2)], "processed")
    assert nothing is None
    assert found is not None
    assert (found.lamports, found.owner, found.data, found.executable) == (5, key(8), b"\x00\xffdata", True)
    assert asked.last[1][0] == [str(key(1)), str(key(2))]
    assert asked.last[1][1]["encoding"] == "base64"


async def test_statuses_tell_not_known_from_failed_and_processed_from_confirmed() -> None:
    statuses = [
        None,
        {"slot": 5, "confirmations": 0, "confirmationStatus": "processed", "err": None, "status": {"Ok": None}},
        {"slot": 6, "confirmations": None, "confirmationStatus": "finalized", "err": {"InstructionError": [0, "X"]}},
        {"slot": 7, "err": None},
    ]
    async with answering({"context": CONTEXT, "value": statuses}) as (rpc, asked):
        unknown, processed, failed, silent = await rpc.get_signature_statuses(["a", "b", "c", "d"], search_history=True)
    assert unknown is None
    assert processed is not None
    assert failed is not None
    assert silent is not None
    assert (processed.confirmation, processed.err) == ("processed", None)
    assert (failed.slot, failed.confirmation, failed.err) == (6, "finalized", {"InstructionError": [0, "X"]})
    assert silent.confirmation == "processed"  # a node that does not say may not be believed to be sure
    assert asked.last == ("getSignatureStatuses", [["a", "b", "c", "d"], {"searchTransactionHistory": True}])


async def test_transaction_is_read_as_its_payer_saw_it_in_any_version() -> None:
    balance = {"accountIndex": 1, "mint": "M", "owner": "O", "uiTokenAmount": {"amount": "12", "decimals": 6}}
    meta = {"err": None, "fee": 5, "preBalances": [100, 1], "postBalances": [90, 6], "postTokenBalances": [balance]}
    async with answering({"slot": 3, "meta": meta, "transaction": {}, "version": 1}) as (rpc, asked):
        record = await rpc.get_transaction("sig", "confirmed")
    assert record is not None
    assert (record.slot, record.err, record.fee, record.payer_before, record.payer_after) == (3, None, 5, 100, 90)
    assert [(b.owner, b.mint, b.amount) for b in record.token_balances] == [("O", "M", 12)]
    assert asked.last[1][1]["maxSupportedTransactionVersion"] == 1


async def test_transaction_the_node_does_not_know_is_none() -> None:
    async with answering(None) as (rpc, _):
        assert await rpc.get_transaction("sig", "confirmed") is None


async def test_simulation_replaces_the_blockhash_and_verifies_no_signature() -> None:
    value = {"err": "AccountNotFound", "logs": None, "accounts": None, "unitsConsumed": 0}
    async with answering({"context": CONTEXT, "value": value}) as (rpc, asked):
        simulation = await rpc.simulate(b"raw", [key(1), key(2)], "processed")
    assert (simulation.err, simulation.logs, simulation.units, simulation.accounts) == (
        "AccountNotFound",
        (),
        0,
        (None, None),
    )
    options = asked.last[1][1]
    assert (options["sigVerify"], options["replaceRecentBlockhash"]) == (False, True)
    assert options["accounts"]["addresses"] == [str(key(1)), str(key(2))]


async def test_transaction_is_sent_without_preflight_or_the_nodes_own_retries() -> None:
    async with answering("sig") as (rpc, asked):
        assert await rpc.send_transaction(b"\x00\xff") == "sig"
    options = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
    assert asked.last == ("sendTransaction", [b64encode(b"\x00\xff").decode(), options])


async def test_transaction_is_sent_while_more_reads_wait_than_may_be_under_way() -> None:
    gate = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        body = await request.json()
        if body["method"] != "sendTransaction":
            await gate.wait()
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": "sig"})

    async with serving(handler) as port, RpcClient(f"http://127.0.0.1:{port}") as rpc, asyncio.TaskGroup() as group:
        reads = [group.create_task(rpc.get_genesis_hash()) for _ in range(100)]
        await asyncio.sleep(0)
        assert await rpc.send_transaction(b"\x00\xff") == "sig"
        assert not any(read.done() for read in reads)
        gate.set()


async def test_calls_are_counted_by_what_they_are_for_failed_ones_included() -> None:
    async with answering(None) as (rpc, _):
        await rpc.get_transaction("sig", "confirmed")
        await fault_of(rpc.get_genesis_hash())
        await fault_of(rpc.get_genesis_hash(purpose="safety"))
        await fault_of(rpc.request_airdrop(SIGNER.pubkey, Lamports(1)))
        assert rpc.calls == Counter({"startup": 2, "account": 1, "safety": 1})
        assert rpc.calls["plan"] == 0


# ---- faults --------------------------------------------------------------------------------------------------------


async def test_too_many_requests_says_how_long_to_wait() -> None:
    async with replying(text("slow down", 429, Retry_After="3")) as rpc:
        error = await fault_of(rpc.get_genesis_hash())
    assert isinstance(error, RateLimitedError)
    assert (error.retry_after_ms, error.retry) == (3_000, Retry.RETRY)


@pytest.mark.parametrize("value", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "9" * 5_000, "1.5", "", "\u0663"])
async def test_retry_after_that_is_no_number_of_seconds_is_unknown(value: str) -> None:
    async with replying(text("", 429, Retry_After=value)) as rpc:
        error = await fault_of(rpc.get_genesis_hash())
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_ms is None


@pytest.mark.parametrize("status", [401, 403, 404, 500, 502, 503])
async def test_page_instead_of_a_reply_is_a_transport_error_with_its_status(status: int) -> None:
    async with replying(text("<html>Bad Gateway</html>", status)) as rpc:
        error = await fault_of(rpc.get_genesis_hash())
    assert isinstance(error, TransportError)
    assert f"HTTP {status}" in str(error)
    assert error.retry is Retry.RETRY


async def test_error_object_is_an_rpc_error_whatever_the_http_status() -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "behind", "data": {"n": 7}}})
    for status in (200, 400, 500):
        async with replying(text(body, status)) as rpc:
            error = await fault_of(rpc.get_genesis_hash())
        assert isinstance(error, RpcError)
        assert (error.code, error.rpc_message, error.data, error.retry) == (
            -32005,
            "behind",
            {"n": 7},
            Retry.DO_NOT_RETRY,
        )


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"jsonrpc":"2.0","id":1,"resu',
        '{"jsonrpc":"2.0","id":1,"result":7}',
        '{"jsonrpc":"2.0","id":1,"result":null}',
        '{"jsonrpc":"2.0","id":1,"error":"no object"}',
        '{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":"y"}}',
        "<html>OK</html>",
        "[" * 100_000,
        '{"result":"x","more":' + "[" * 100_000,
    ],
)
async def test_reply_that_is_something_else_is_malformed(body: str) -> None:
    async with replying(text(body)) as rpc:
        assert isinstance(await fault_of(rpc.get_genesis_hash()), MalformedError)


@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc":"2.0","id":999,"result":"666"}',
        '{"jsonrpc":"2.0","id":0,"result":"666"}',
        '{"jsonrpc":"2.0","id":null,"result":"666"}',
        '{"jsonrpc":"2.0","result":"666"}',
        '{"jsonrpc":"2.0","id":"1","result":"666"}',
        '{"jsonrpc":"2.0","id":1.5,"result":"666"}',
        '{"jsonrpc":"2.0","id":true,"result":"666"}',
        '{"jsonrpc":"2.0","id":[1],"result":"666"}',
        '{"jsonrpc":"2.0","id":999,"error":{"code":-32005,"message":"of another"}}',
    ],
)
async def test_reply_to_another_request_is_malformed(body: str) -> None:
    async with replying(text(body)) as rpc:
        assert isinstance(await fault_of(rpc.get_genesis_hash()), MalformedError)


@pytest.mark.parametrize("named", ["", '"id":null,', '"id":2,'])
async def test_error_may_come_without_the_id_of_what_was_asked(named: str) -> None:
    async with replying(text('{"jsonrpc":"2.0",' + named + '"error":{"code":-32700,"message":"parse"}}')) as rpc:
        await fault_of(rpc.get_genesis_hash())
        error = await fault_of(rpc.get_genesis_hash())  # the second: its id is 2
    assert isinstance(error, RpcError)
    assert error.code == -32700


async def test_reply_in_bad_utf8_is_malformed() -> None:
    async with replying(lambda: web.Response(body=b'{"error":{"code":1,"message":"\xff\xfe"}}')) as rpc:
        assert isinstance(await fault_of(rpc.get_genesis_hash()), MalformedError)


ACCOUNT = {"lamports": 5, "owner": str(key(8)), "data": ["", "base64"], "executable": False}
META = {"fee": 5, "preBalances": [1], "postBalances": [1], "postTokenBalances": []}
AMOUNT = {"mint": "M", "owner": "O", "uiTokenAmount": {"amount": "1.5"}}


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (lambda rpc: rpc.get_latest_blockhash("confirmed"), {"blockhash": "zz", "lastValidBlockHeight": 1}),
        (lambda rpc: rpc.get_latest_blockhash("confirmed"), {"blockhash": "1" * 99, "lastValidBlockHeight": 1}),
        (lambda rpc: rpc.get_multiple_accounts([key(1)], "processed"), []),
        (lambda rpc: rpc.get_multiple_accounts([key(1)], "processed"), [None, None]),
        (lambda rpc: rpc.get_multiple_accounts([key(1)], "processed"), [{**ACCOUNT, "owner": "nobody"}]),
        (lambda rpc: rpc.get_multiple_accounts([key(1)], "processed"), [{**ACCOUNT, "data": ["*", "base64"]}]),
        (lambda rpc: rpc.get_multiple_accounts([key(1)], "processed"), [{**ACCOUNT, "data": ["aa", "base58"]}]),
        (lambda rpc: rpc.get_signature_statuses(["a", "b"]), [None]),
        (lambda rpc: rpc.get_signature_statuses(["a"]), [{"slot": 1, "confirmationStatus": "rumoured"}]),
        (lambda rpc: rpc.simulate(b"", [key(1)], "processed"), {"err": None, "accounts": []}),
        (lambda rpc: rpc.simulate(b"", [key(1)], "processed"), {"err": None, "accounts": [{**ACCOUNT, "owner": ""}]}),
    ],
)
async def test_value_that_cannot_be_what_was_asked_for_is_malformed(
    call: Callable[[RpcClient], Awaitable[object]], result: object
) -> None:
    async with answering({"context": CONTEXT, "value": result}) as (rpc, _):
        assert isinstance(await fault_of(call(rpc)), MalformedError)


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {**META, "preBalances": []},
        {**META, "postTokenBalances": None},
        {**META, "postTokenBalances": [AMOUNT]},
        {**META, "postTokenBalances": [{"mint": "M", "uiTokenAmount": {"amount": "1"}}]},
    ],
)
async def test_transaction_whose_balances_cannot_be_read_is_malformed(meta: object) -> None:
    async with answering({"slot": 1, "meta": meta}) as (rpc, _):
        assert isinstance(await fault_of(rpc.get_transaction("sig", "confirmed")), MalformedError)


async def test_reply_of_40_mb_is_refused() -> None:
    async with replying(lambda: web.Response(body=b'"' + bytes(40 << 20) + b'"')) as rpc:
        error = await fault_of(rpc.get_genesis_hash())
    assert isinstance(error, MalformedError)
    assert "32 MiB" in str(error)


async def test_reply_of_20_mb_is_read() -> None:
    async with answering("x" * (20 << 20)) as (rpc, _):
        assert len(await rpc.get_genesis_hash()) == 20 << 20


async def test_reply_that_does_not_come_in_time_is_a_transport_error() -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async with serving(handler) as port, RpcClient(secret_url(port), timeout_ms=30) as rpc:
        error = await fault_of(rpc.get_genesis_hash())
    assert isinstance(error, TransportError)
    assert "not answered in time" in str(error)


async def test_reply_that_stops_in_its_middle_is_a_transport_error() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"jsonrpc":"2.0",')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(handler) as port, RpcClient(secret_url(port)) as rpc:
        assert isinstance(await fault_of(rpc.get_genesis_hash()), TransportError)


@asynccontextmanager
async def cutting() -> AsyncIterator[tuple[RpcClient, list[str], Callable[[], None]]]:
    """A client of a node that says the methods it was asked, and that can end all its connections."""
    asked: list[str] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while not writer.is_closing():
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, OSError):
                return writer.close()
            request = json.loads(await reader.readexactly(int(head.rsplit(b" ", 1)[1])))
            asked.append(request["method"])
            body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": "sig"}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        return None

    def cut() -> None:
        for writer in writers:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, RpcClient(secret_url(server.sockets[0].getsockname()[1])) as rpc:
        yield rpc, asked, cut
    cut()


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("sendTransaction", lambda rpc: rpc.send_transaction(b"signed")),
        ("sendTransaction", lambda rpc: rpc.send_transaction(b"signed", purpose="exit")),
        ("getGenesisHash", lambda rpc: rpc.get_genesis_hash()),
    ],
)
async def test_call_whose_kept_connection_had_ended_is_asked_on_another(
    method: str, call: Callable[[RpcClient], Awaitable[str]]
) -> None:
    async with cutting() as (rpc, asked, cut):
        await rpc.get_genesis_hash()
        await rpc.get_genesis_hash()
        cut()  # the client hears of it after it has written
        assert await call(rpc) == "sig"
    assert asked[2:] == [method]


async def test_airdrop_is_never_asked_for_twice() -> None:
    async with cutting() as (rpc, asked, cut):
        await rpc.get_genesis_hash()
        await rpc.get_genesis_hash()
        cut()
        assert isinstance(await fault_of(rpc.request_airdrop(SIGNER.pubkey, Lamports(1))), TransportError)
    assert asked[2:] == []


async def test_server_that_hangs_up_is_a_transport_error() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, RpcClient(secret_url(server.sockets[0].getsockname()[1])) as rpc:
        assert isinstance(await fault_of(rpc.get_genesis_hash()), TransportError)


async def test_refused_connection_is_a_transport_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        async with RpcClient(secret_url(taken.getsockname()[1])) as rpc:
            error = await fault_of(rpc.get_genesis_hash())
    assert isinstance(error, TransportError)
    assert "ConnectionRefusedError" in str(error)


async def test_address_that_does_not_answer_in_time_shows_no_secret() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # its queue is full: further connections wait
            async with RpcClient(secret_url(port), timeout_ms=50) as rpc:
                for _ in range(2):
                    assert isinstance(await fault_of(rpc.get_genesis_hash()), TransportError)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed_to_a_host_nobody_has_configured(status: int) -> None:
    reached: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        reached.append(await request.text())
        return web.json_response({"result": "sig"})

    async with serving(elsewhere) as other:
        there = f"http://127.0.0.1:{other}/"
        async with replying(text("", status, Location=there)) as rpc:
            error = await fault_of(rpc.send_transaction(b"signed"))
    assert isinstance(error, TransportError)
    assert f"HTTP {status}" in str(error)
    assert reached == []


@pytest.mark.parametrize("url", ["http://", "nonsense", "http://[::1", f"ftp://{KEY}@h/", f"http://h:99999/{KEY}"])
async def test_address_that_is_none_is_a_transport_error(url: str) -> None:
    async with RpcClient(url) as rpc:
        with pytest.raises(TransportError) as caught:
            await rpc.get_genesis_hash()
    assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_client_outside_its_context_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="outside its context"):
        await RpcClient("http://127.0.0.1:1").get_genesis_hash()
