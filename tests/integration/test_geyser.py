"""The Geyser service on a loopback port, spoken to as any Yellowstone client would."""

import asyncio

import pytest
from solders.keypair import Keypair
from solders.signature import Signature

from chain_world import SOL, pay
from slotzero.localnet.geyser import MAX_KEYS
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.solana.grpc_runtime import CLIENT_OPTIONS, aio, grpc
from wire_lab import GRPC_LOOP, RawStream, raw_stream, wire_lab

pytestmark = GRPC_LOOP

Transactions = geyser.SubscribeRequestFilterTransactions
Slots = geyser.SubscribeRequestFilterSlots


async def told(stream: RawStream) -> list[tuple[str, list[str]]]:
    """Which transactions were told up to now, each with its filters."""
    await stream.ask(ping=geyser.SubscribeRequestPing(id=1))
    rows: list[tuple[str, list[str]]] = []
    while True:
        update = await stream.read()
        if update.HasField("pong"):
            return rows
        if update.HasField("transaction"):
            signature = str(Signature.from_bytes(update.transaction.transaction.signature))
            rows.append((signature, list(update.filters)))


async def test_each_filter_gets_the_transactions_it_asks_for() -> None:
    async with wire_lab() as lab, raw_stream(lab) as stream:
        alice, bob = (Keypair().pubkey() for _ in range(2))
        await stream.subscribe(
            transactions={
                "all": Transactions(),
                "alice": Transactions(account_include=[str(alice)]),
                "either": Transactions(account_include=[str(alice), str(bob)]),
                "both": Transactions(account_required=[str(alice), str(bob)]),
                "not alice": Transactions(account_exclude=[str(alice)]),
                "failed": Transactions(failed=True),
                "fine": Transactions(failed=False, vote=False),
                "votes": Transactions(vote=True),
            }
        )
        to_alice, to_bob = lab.pay(SOL, alice), lab.pay(SOL + 1, bob)
        both = lab.signed(pay(alice, SOL, lab.payer), pay(bob, SOL, lab.payer))
        lab.chain.submit(both.raw)
        broke = lab.signed(pay(bob, 10**17, lab.payer))
        lab.chain.submit(broke.raw)
        assert await told(stream) == [
            (to_alice, ["alice", "all", "either", "fine"]),
            (to_bob, ["all", "either", "fine", "not alice"]),
            (both.signature, ["alice", "all", "both", "either", "fine"]),
            (broke.signature, ["all", "either", "failed", "not alice"]),
        ]
        # A later request replaces them all.
        await stream.subscribe(transactions={"one": Transactions(signature=to_bob)})
        lab.pay(SOL + 2, alice)
        assert await told(stream) == []


async def test_transaction_carries_what_the_chain_holds_of_it() -> None:
    async with wire_lab() as lab, raw_stream(lab) as stream:
        await stream.subscribe(transactions={"t": Transactions()})
        to = Keypair().pubkey()
        fine = lab.chain.transaction(Signature.from_string(lab.pay(SOL, to)))
        broke = lab.signed(pay(to, 10**17, lab.payer))
        lab.chain.submit(broke.raw)
        assert fine is not None
        update = await stream.read()
        info = update.transaction.transaction
        assert update.transaction.slot == fine.slot
        assert (info.index, info.is_vote, info.meta.fee, info.meta.compute_units_consumed) == (1, False, 5_000, 150)
        assert list(info.meta.log_messages) == fine.metadata.logs()
        assert list(info.meta.pre_balances) == list(fine.pre_balances)
        assert list(info.meta.post_balances) == list(fine.post_balances)
        assert [bytes(key) for key in fine.account_keys()] == list(info.transaction.message.account_keys)
        assert info.transaction.message.versioned
        assert info.transaction.message.instructions[0].data == bytes(fine.transaction().message.instructions[0].data)
        assert not info.meta.HasField("err")
        assert update.mono_ns == fine.mono_ns
        assert update.created_at.ToNanoseconds() > 0
        failed = (await stream.read()).transaction.transaction
        # InstructionError(0, Custom(1)): the runtime's variants 8 and 25.
        assert failed.meta.err.err == bytes([8, 0, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0])


async def test_commitments_and_slots_come_when_a_slot_ends() -> None:
    async with wire_lab() as lab, raw_stream(lab) as stream:
        await stream.subscribe(
            transactions={"t": Transactions()},
            slots={"all": Slots(), "mine": Slots(filter_by_commitment=True), "inner": Slots(interslot_updates=True)},
            commitment=geyser.CONFIRMED,
        )
        opened = lab.chain.slot
        signature = lab.pay(SOL)
        assert await told(stream) == []
        lab.chain.advance()
        updates = [await stream.read() for _ in range(4)]
        assert [(row.slot.slot, row.slot.status, list(row.filters)) for row in updates[:3]] == [
            (opened, geyser.SLOT_PROCESSED, ["all", "inner"]),
            (opened, geyser.SLOT_CONFIRMED, ["all", "inner", "mine"]),
            (opened + 1, geyser.SLOT_CREATED_BANK, ["inner"]),
        ]
        assert updates[0].slot.parent == opened - 1
        assert updates[3].transaction.transaction.signature == bytes(Signature.from_string(signature))
        await stream.subscribe(slots={"f": Slots(filter_by_commitment=True)}, commitment=geyser.FINALIZED)
        lab.chain.advance(32)
        finalized = [(await stream.read()).slot for _ in range(2)]
        assert [(row.slot, row.status) for row in finalized] == [(1, geyser.SLOT_FINALIZED), (2, geyser.SLOT_FINALIZED)]


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"accounts": {"a": geyser.UnservedFilter()}}, grpc.StatusCode.UNIMPLEMENTED, "accounts are not served"),
        ({"blocks": {"a": geyser.UnservedFilter()}}, grpc.StatusCode.UNIMPLEMENTED, "blocks are not served"),
        ({"from_slot": 5}, grpc.StatusCode.UNIMPLEMENTED, "from_slot"),
        ({"commitment": 9}, grpc.StatusCode.INVALID_ARGUMENT, "commitment 9"),
        ({"transactions": {"t": Transactions(account_include=["x"])}}, grpc.StatusCode.INVALID_ARGUMENT, "'x'"),
        (
            {"transactions": {"t": Transactions(account_include=["x"] * (MAX_KEYS + 1))}},
            grpc.StatusCode.INVALID_ARGUMENT,
            "1000 addresses",
        ),
        ({"slots": {str(n): Slots() for n in range(17)}}, grpc.StatusCode.INVALID_ARGUMENT, "16 filters"),
        ({"slots": {"n" * 200: Slots()}}, grpc.StatusCode.INVALID_ARGUMENT, "128 characters"),
    ],
)
async def test_what_is_not_served_ends_the_stream_with_a_reason(
    request_: dict[str, object], code: object, words: str
) -> None:
    async with wire_lab() as lab, raw_stream(lab) as stream:
        await stream.ask(**request_)
        error = await stream.refusal()
        assert error.code() is code
        assert words in str(error.details())


async def test_token_is_asked_for_when_there_is_one() -> None:
    async with wire_lab(geyser_token="sesame") as lab:  # noqa: S106 a test's
        for metadata in ((), (("x-token", "wrong"),)):
            async with raw_stream(lab, metadata) as stream:
                assert (await stream.refusal()).code() is grpc.StatusCode.UNAUTHENTICATED
        async with raw_stream(lab, (("x-token", "sesame"),)) as stream:
            await stream.subscribe(transactions={})


async def test_unary_methods_answer() -> None:
    async with wire_lab() as lab:
        target = lab.geyser.url.reveal().removeprefix("http://")
        async with aio.insecure_channel(target, options=CLIENT_OPTIONS) as channel:

            async def ask(name: str, request: bytes) -> bytes:
                method: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/geyser.Geyser/{name}")
                return await method(request)

            pong = await ask("Ping", geyser.PingRequest(count=3).SerializeToString())
            assert geyser.PongResponse.FromString(pong).count == 3
            lab.chain.advance(40)
            slot = await ask("GetSlot", geyser.GetSlotRequest(commitment=geyser.FINALIZED).SerializeToString())
            assert geyser.GetSlotResponse.FromString(slot).slot == lab.chain.slot - 32
            version = await ask("GetVersion", b"")
            assert geyser.GetVersionResponse.FromString(version).version.startswith("slotzero-localnet ")


async def test_calls_that_cannot_be_served_get_a_status() -> None:
    async with wire_lab() as lab:
        target = lab.geyser.url.reveal().removeprefix("http://")
        async with aio.insecure_channel(target, options=CLIENT_OPTIONS) as channel:
            for path, request, code in (
                ("/geyser.Geyser/SubscribeDeshred", b"", grpc.StatusCode.UNIMPLEMENTED),
                ("/other.Service/Ping", b"", grpc.StatusCode.UNIMPLEMENTED),
                ("/geyser.Geyser/GetSlot", b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
                ("/geyser.Geyser/Ping", bytes(2 * 1024 * 1024), grpc.StatusCode.RESOURCE_EXHAUSTED),
            ):
                method: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
                with pytest.raises(aio.AioRpcError) as caught:
                    await method(request)
                assert caught.value.code() is code, path
            zipped: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/geyser.Geyser/Ping")
            with pytest.raises(aio.AioRpcError) as caught:
                await zipped(bytes(4_000), compression=grpc.Compression.Gzip)
            assert "compressed" in str(caught.value.details())


async def test_bytes_that_are_no_http_2_end_their_connection_only() -> None:
    async with wire_lab() as lab:
        port = int(lab.geyser.url.reveal().rsplit(":", 1)[1])
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        for garbage in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            preface + bytes(9),  # DATA on stream 0
            preface + b"\0\0\4\1\5\0\0\0\1\xff\xff\xff\xff",  # HEADERS that no table holds
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage)
            async with asyncio.timeout(10):
                while await reader.read(65_536):
                    pass
            writer.close()
            await writer.wait_closed()
        async with raw_stream(lab) as stream:
            await stream.subscribe(transactions={"t": Transactions()})


async def test_reader_that_does_not_keep_up_is_ended_and_counted() -> None:
    async with wire_lab() as lab, raw_stream(lab) as slow, raw_stream(lab) as quick:
        await slow.subscribe(slots={"all": Slots(interslot_updates=True)})
        await quick.subscribe(slots={"one": Slots(filter_by_commitment=True)})
        lab.chain.advance(2_500)  # four updates each, and nobody reads meanwhile: the outbox holds 8,192
        error = await slow.refusal()
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "too slow" in str(error.details())
        stats = (await lab.call("slotzero_stats"))["geyser"]
        assert (stats["slowClosed"], stats["streams"]) == (1, 1)
        lab.chain.advance()
        while not (await quick.read()).HasField("slot"):
            pass


async def test_chain_that_ends_tells_its_streams() -> None:
    async with wire_lab() as lab:
        leaving = raw_stream(lab)
        stream = await leaving.__aenter__()
        await stream.subscribe(transactions={"t": Transactions()})
    error = await stream.refusal()
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "the chain ends")
    await leaving.__aexit__(None, None, None)


async def test_client_that_leaves_is_forgotten() -> None:
    async with wire_lab() as lab:
        async with raw_stream(lab) as stream:
            await stream.subscribe(transactions={"t": Transactions()})
            assert (await lab.call("slotzero_stats"))["geyser"]["streams"] == 1
        async with asyncio.timeout(10):
            while (await lab.call("slotzero_stats"))["geyser"]["streams"]:
                pass


async def test_faults_of_the_port_strike_streams_and_are_counted() -> None:
    async with wire_lab() as lab:
        async with raw_stream(lab) as stream:
            await stream.subscribe(transactions={"t": Transactions()})
            await lab.call("slotzero_faults", "geyser", {"stallWs": True})
            lab.pay(SOL)
            while (await lab.injected("geyser"))["stalledFrames"] < 1:
                pass
            await lab.call("slotzero_faults", "geyser", {"latency": {"p50Us": 1_000, "p99Us": 5_000}})
            heard = [lab.pay(SOL + 1 + number) for number in range(5)]
            updates = [await stream.read() for _ in range(5)]
            assert [
                str(Signature.from_bytes(update.transaction.transaction.signature)) for update in updates
            ] == heard, "latency keeps the order"
            assert (await lab.injected("geyser"))["delayedFrames"] == 5
            await lab.call("slotzero_faults", "geyser", {"refuseConnections": True})
            assert (await stream.refusal()).code() is grpc.StatusCode.UNAVAILABLE
        for _ in range(2):
            async with raw_stream(lab) as stream:
                assert (await stream.refusal()).code() is grpc.StatusCode.UNAVAILABLE
        await lab.call("slotzero_faults", "geyser", {"http429": {"next": 1}})
        async with raw_stream(lab) as stream:
            assert (await stream.refusal()).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        counts = await lab.injected("geyser")
        assert (counts["cutConnections"], counts["cutRequests"], counts["http429"]) == (1, 1, 1)
        assert counts["refusedConnections"] >= 2, "gRPC tries again by itself"
        total = (await lab.call("slotzero_injected"))["total"]
        assert total == counts, "no other port had a fault"


async def test_port_stops_and_starts_on_its_number() -> None:
    async with wire_lab() as lab:
        for _ in range(2):
            async with raw_stream(lab) as stream:
                await stream.subscribe(transactions={"t": Transactions()})
                stopped = await lab.call("slotzero_stopPort", "geyser")
                assert (stopped["isOpen"], stopped["port"]) == (False, int(lab.geyser.url.reveal().rsplit(":", 1)[1]))
                assert (await stream.refusal()).code() is grpc.StatusCode.UNAVAILABLE
            async with raw_stream(lab) as stream:
                assert (await stream.refusal()).code() is grpc.StatusCode.UNAVAILABLE
            await lab.call("slotzero_startPort", "geyser")
            async with asyncio.timeout(10):
                while True:  # it listens when the old server has let go of the number
                    async with raw_stream(lab) as stream:
                        try:
                            await stream.subscribe(transactions={"t": Transactions()})
                        except (aio.AioRpcError, asyncio.InvalidStateError):
                            continue
                        break
