"""The pool over nodes that fail on command: who is asked, in what order, and what is never said."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from solders.pubkey import Pubkey

from scripted_node import ScriptedNode, eventually, scripted_nodes
from slotzero.clock import Clock, SystemClock, TestClock, ms
from slotzero.errors import RateLimitedError, RpcError, TransportError
from slotzero.secret import Secret
from slotzero.solana import http
from slotzero.solana.blockhash import BlockhashCache
from slotzero.solana.endpoints import BreakerRules, EndpointPool, EndpointSpec, Limits
from slotzero.solana.rpc import CrowdedError, SignatureStatus
from slotzero.trading.order import AskStatus, Expired, Order
from slotzero.units import BlockHeight, Lamports, MonoNs, Slot

KEY = Pubkey.from_bytes(bytes(range(32)))
S = 1_000_000_000
RULES = BreakerRules(failures=2, window_ns=ms(60_000), open_ns=ms(1_000), max_open_ns=ms(8_000))


@asynccontextmanager
async def pool_of(
    nodes: Sequence[ScriptedNode],
    *,
    clock: Clock | None = None,
    limits: Limits | None = None,
    timeout_ms: int = 5_000,
    max_wait_ms: int = 1_000,
) -> AsyncIterator[EndpointPool]:
    specs = [
        EndpointSpec(rpc=Secret(node.rpc), name=f"node {n}", limits=limits or Limits()) for n, node in enumerate(nodes)
    ]
    pool = EndpointPool(
        specs,
        clock=clock or TestClock(),
        timeout_ms=timeout_ms,
        max_wait_ms=max_wait_ms,
        rules=RULES,
        probe_ms=1_000,
    )
    async with pool:
        yield pool


async def balance(pool: EndpointPool) -> int:
    return await pool.get_balance(KEY, "confirmed")


def counts(nodes: Sequence[ScriptedNode], method: str) -> list[int]:
    return [node.calls[method] for node in nodes]


# ---- reads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["503", "html", "drop", "429"])
async def test_read_is_asked_once_more_of_another_endpoint_after_a_fault(fault: str) -> None:
    async with scripted_nodes(3) as nodes, pool_of(nodes) as pool:
        nodes[0].fault = fault
        assert await balance(pool) == 5
        assert counts(nodes, "getBalance") == [1, 1, 0]


async def test_second_fault_is_the_callers() -> None:
    async with scripted_nodes(3) as nodes, pool_of(nodes) as pool:
        nodes[0].fault = nodes[1].fault = "503"
        with pytest.raises(TransportError, match="was answered with HTTP 503"):
            await balance(pool)
        assert counts(nodes, "getBalance") == [1, 1, 0]


async def test_unanswered_read_goes_to_another_endpoint_when_its_time_is_over() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes, timeout_ms=50) as pool:
        nodes[0].fault = "hang"
        assert await balance(pool) == 5
        assert pool.stats()[0].failures == {"transport": 1}


async def test_error_about_the_question_is_not_asked_elsewhere() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].errors["getBalance"] = (-32602, "Invalid params")
        with pytest.raises(RpcError, match="-32602"):
            await balance(pool)
        assert counts(nodes, "getBalance") == [1, 0]
        assert pool.stats()[0].failures == {"refused": 1}


@pytest.mark.parametrize("code", [-32601, -32005, -32010])
async def test_error_about_the_node_is_asked_of_everybody(code: int) -> None:
    async with scripted_nodes(4) as nodes, pool_of(nodes) as pool:
        for node in nodes[:3]:
            node.errors["getBalance"] = (code, "not here")
        assert await balance(pool) == 5
        nodes[3].errors["getBalance"] = (code, "not here, either")
        with pytest.raises(RpcError, match=str(code)):
            await balance(pool)


async def test_method_an_endpoint_lacks_is_asked_of_it_once_and_costs_it_no_other_read() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].errors["getMultipleAccounts"] = (-32601, "Method not found")
        for _ in range(3):
            assert await pool.get_multiple_accounts([KEY], "processed") == [None]
            await balance(pool)
        assert counts(nodes, "getMultipleAccounts") == [1, 3]
        assert counts(nodes, "getBalance") == [3, 0]


async def test_slot_that_is_not_reached_is_asked_of_another_endpoint() -> None:
    async with scripted_nodes(3) as nodes, pool_of(nodes) as pool:
        nodes[2].slot = 150
        answer = await pool.accounts_at([KEY], "processed", min_context_slot=Slot(140))
        assert (answer.slot, answer.value) == (150, [None])
        with pytest.raises(RpcError, match="-32016"):
            await pool.accounts_at([KEY], "processed", min_context_slot=Slot(160))


async def test_write_that_must_not_be_done_twice_is_asked_once() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].fault = "drop"
        with pytest.raises(TransportError):
            await pool.request_airdrop(KEY, Lamports(1))
        assert counts(nodes, "requestAirdrop") == [1, 0]


async def test_endpoint_that_lags_gets_no_reads() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes, clock=SystemClock()) as pool, asyncio.TaskGroup() as tasks:
        nodes[0].slot, nodes[1].slot = 900, 1_000
        running = tasks.create_task(pool.run())
        await eventually(lambda: pool.stats()[0].lag_slots == 100)
        assert [await balance(pool) for _ in range(3)] == [5, 5, 5]
        assert counts(nodes, "getBalance") == [0, 3]
        running.cancel()


# ---- breakers ------------------------------------------------------------------------------------------------------


async def test_dead_endpoint_is_left_alone_probed_and_taken_back() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes, clock=SystemClock()) as pool, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(pool.run())
        await nodes[0].stop()
        for _ in range(20):
            assert await balance(pool) == 5
            await asyncio.sleep(0)
        await eventually(lambda: pool.stats()[0].state == "open")
        await nodes[0].start()
        await eventually(lambda: pool.stats()[0].state == "closed")
        states = [change.state for change in pool.stats()[0].transitions]
        assert states[:2] == ["open", "half_open"]
        assert states[-2:] == ["half_open", "closed"]
        assert pool.stats()[1].transitions == ()
        running.cancel()


async def test_breakers_that_are_all_open_hold_back_neither_a_read_nor_a_send() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        for node in nodes:
            node.fault = "503"
        for _ in range(2):
            with pytest.raises(TransportError, match="503"):
                await balance(pool)
        assert [stats.state for stats in pool.stats()] == ["open", "open"]
        with pytest.raises(TransportError, match="503"):
            await balance(pool)
        assert counts(nodes, "getBalance") == [3, 2]  # once, of the best
        nodes[0].fault = nodes[1].fault = None
        assert await balance(pool) == 5
        nodes[0].fault = "503"
        assert await pool.send_transaction(b"exit") == "signature"
        assert counts(nodes, "sendTransaction") == [1, 1]
        assert [stats.state for stats in pool.stats()] == ["open", "open"]


async def test_cancelled_call_neither_helps_nor_harms() -> None:
    async with scripted_nodes(1) as nodes, pool_of(nodes) as pool:
        nodes[0].fault = "hang"
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(balance(pool))
            await eventually(lambda: nodes[0].calls["getBalance"] == 1)
            call.cancel()
        assert (pool.stats()[0].failures, pool.stats()[0].abandoned) == ({}, 1)


# ---- limits --------------------------------------------------------------------------------------------------------


async def test_storm_of_429_is_waited_out_as_long_as_asked_and_opens_no_breaker() -> None:
    clock = TestClock()
    async with scripted_nodes(1) as nodes, pool_of(nodes, clock=clock, max_wait_ms=10_000) as pool:
        nodes[0].fault, nodes[0].retry_after = "429", "7"
        with pytest.raises(RateLimitedError, match="7000 ms"):
            await balance(pool)
        nodes[0].fault = None
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(balance(pool))
            await clock.advance(7 * S - 1)
            assert nodes[0].calls["getBalance"] == 1
            await clock.advance(1)
            assert await call == 5
        stats = pool.stats()[0]
        assert (stats.state, stats.transitions, stats.failures) == ("closed", (), {"rate_limited": 1})


async def test_call_that_would_wait_too_long_says_for_how_long() -> None:
    async with scripted_nodes(1) as nodes, pool_of(nodes, max_wait_ms=1_000) as pool:
        nodes[0].fault, nodes[0].retry_after = "429", "7"
        with pytest.raises(RateLimitedError):
            await balance(pool)
        with pytest.raises(RateLimitedError) as caught:
            await balance(pool)
        assert caught.value.retry_after_ms is not None
        assert caught.value.retry_after_ms >= 7_000
        assert nodes[0].calls["getBalance"] == 1


async def test_storm_on_reads_at_one_endpoint_moves_reads_and_stops_no_send() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].fault, nodes[0].faulty, nodes[0].retry_after = "429", {"getBalance"}, "60"
        assert [await balance(pool) for _ in range(5)] == [5] * 5
        assert counts(nodes, "getBalance") == [1, 5]
        await pool.send_transaction(b"buy")
        assert counts(nodes, "sendTransaction") == [1, 1]


async def test_storm_without_retry_after_is_waited_out_ever_longer() -> None:
    clock = TestClock()
    async with scripted_nodes(1) as nodes, pool_of(nodes, clock=clock, max_wait_ms=60_000) as pool:
        nodes[0].fault = "429"
        waits = []
        for _ in range(4):
            began = clock.mono_ns()
            async with asyncio.TaskGroup() as tasks:
                call = tasks.create_task(_ends_rate_limited(pool))
                while not call.done():
                    await asyncio.sleep(0.001)
                    await clock.jump()
            waits.append((clock.mono_ns() - began) // 1_000_000)
        assert waits == [0, 500, 1_000, 2_000]


async def _ends_rate_limited(pool: EndpointPool) -> None:
    with pytest.raises(RateLimitedError):
        await balance(pool)


async def test_limit_of_one_endpoint_sends_the_rest_to_the_other_and_then_waits() -> None:
    clock = TestClock()
    async with scripted_nodes(2) as nodes, pool_of(nodes, clock=clock, limits=Limits(read_per_s=2)) as pool:
        assert [await balance(pool), await balance(pool)] == [5, 5]
        assert counts(nodes, "getBalance") == [1, 1]
        async with asyncio.TaskGroup() as tasks:
            third = tasks.create_task(balance(pool))
            await clock.advance(S // 2 - 1)
            assert sum(counts(nodes, "getBalance")) == 2
            await clock.advance(1)
            assert await third == 5


# ---- sends ---------------------------------------------------------------------------------------------------------


async def test_send_goes_to_all_and_one_that_took_it_is_enough() -> None:
    async with scripted_nodes(3) as nodes, pool_of(nodes) as pool:
        nodes[0].fault, nodes[1].errors["sendTransaction"] = "drop", (-32005, "Node is behind")
        assert await pool.send_transaction(b"same bytes") == "signature"
        assert counts(nodes, "sendTransaction") == [1, 1, 1]
        await pool.send_transaction(b"same bytes")
        assert nodes[2].sent[0] == nodes[2].sent[1]


async def test_send_nobody_took_tells_the_refusal_rather_than_the_silence() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].fault, nodes[1].errors["sendTransaction"] = "drop", (-32003, "signature verification failure")
        with pytest.raises(RpcError, match="signature verification failure"):
            await pool.send_transaction(b"bytes")


# ---- sends in a pause ----------------------------------------------------------------------------------------------


async def pause_sends(pool: EndpointPool, node: ScriptedNode, retry_after: str | None) -> None:
    """Let a buy hear a 429, after which the node takes everything again."""
    node.fault, node.faulty, node.retry_after = "429", {"sendTransaction"}, retry_after
    with pytest.raises(RateLimitedError):
        await pool.send_transaction(b"buy")
    node.fault = None


async def test_pause_of_sends_holds_back_buys_and_lets_a_sell_through_once_a_second() -> None:
    clock = TestClock()
    async with scripted_nodes(1) as nodes, pool_of(nodes, clock=clock) as pool, asyncio.TaskGroup() as tasks:
        await pause_sends(pool, nodes[0], "7")
        assert await pool.send_transaction(b"sell", purpose="exit") == "signature"
        with pytest.raises(RateLimitedError):
            await pool.send_transaction(b"buy")
        sells = [tasks.create_task(pool.send_transaction(sell, purpose="exit")) for sell in (b"second", b"third")]
        await clock.advance(S - 1)
        assert counts(nodes, "sendTransaction") == [2]  # the buy that was refused, and the first sell
        await clock.advance(1)
        await sells[0]
        assert not sells[1].done()
        await clock.advance(S)
        assert await sells[1] == "signature"
        assert counts(nodes, "sendTransaction") == [4]


async def test_sell_waits_for_no_try_when_the_pause_is_over_before_there_is_one() -> None:
    clock = TestClock()
    async with scripted_nodes(1) as nodes, pool_of(nodes, clock=clock) as pool, asyncio.TaskGroup() as tasks:
        await pause_sends(pool, nodes[0], None)
        assert await pool.send_transaction(b"sell", purpose="exit") == "signature"
        sells = [tasks.create_task(pool.send_transaction(b"sell", purpose="exit")) for _ in range(5)]
        await clock.advance(ms(500))
        assert [await sell for sell in sells] == ["signature"] * 5


async def test_sell_the_endpoint_answers_with_429_prolongs_the_pause_and_the_next_waits_for_its_turn() -> None:
    clock = TestClock()
    async with scripted_nodes(1) as nodes, pool_of(nodes, clock=clock) as pool, asyncio.TaskGroup() as tasks:
        await pause_sends(pool, nodes[0], "5")
        nodes[0].fault = "429"
        for _ in range(4):
            sell = tasks.create_task(_is_refused(pool))
            await clock.advance(S)
            await sell
        nodes[0].fault = None
        await clock.advance(2 * S)  # what the buy was told to wait for is over by now, what the sells were told is not
        with pytest.raises(RateLimitedError):
            await pool.send_transaction(b"buy")
        assert counts(nodes, "sendTransaction") == [5]


async def _is_refused(pool: EndpointPool) -> None:
    with pytest.raises(RateLimitedError):
        await pool.send_transaction(b"sell", purpose="exit")


async def test_pause_of_sends_is_ten_seconds_at_most_and_one_of_reads_as_long_as_asked() -> None:
    clock = TestClock()
    async with scripted_nodes(1) as nodes, pool_of(nodes, clock=clock, max_wait_ms=3_600_000) as pool:
        await pause_sends(pool, nodes[0], "300")
        nodes[0].fault, nodes[0].faulty = "429", {"getBalance"}
        with pytest.raises(RateLimitedError):
            await balance(pool)
        nodes[0].fault = None
        async with asyncio.TaskGroup() as tasks:
            send, read = tasks.create_task(pool.send_transaction(b"buy")), tasks.create_task(balance(pool))
            await clock.advance(10 * S)
            assert await send == "signature"
            assert not read.done()
            await clock.advance(290 * S)
            assert await read == 5


async def test_sell_goes_to_the_endpoint_that_has_asked_for_no_pause_whatever_another_asks_for() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].fault, nodes[0].faulty, nodes[0].retry_after = "429", {"sendTransaction"}, "7"
        for _ in range(3):
            assert await pool.send_transaction(b"sell", purpose="exit") == "signature"
        assert counts(nodes, "sendTransaction") == [2, 3]  # the first, one try in the pause


async def test_send_one_endpoint_put_off_and_another_never_answered_may_have_been_taken() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].fault, nodes[1].fault = "429", "drop"
        with pytest.raises(TransportError) as caught:
            await pool.send_transaction(b"bytes")
        assert not isinstance(caught.value, CrowdedError)


async def test_call_our_own_calls_leave_no_place_for_costs_the_endpoint_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "_MOST_CALLS", 0)
    async with scripted_nodes(1) as nodes, pool_of(nodes, timeout_ms=20) as pool:
        before = pool.stats()[0]
        for _ in range(5):
            with pytest.raises(CrowdedError, match="too many calls were under way"):
                await pool.send_transaction(b"bytes")
            with pytest.raises(CrowdedError):
                await balance(pool)
        after = pool.stats()[0]
        assert (after.state, after.failures, after.score_ns) == ("closed", {}, before.score_ns)
        assert after.abandoned == 10
        assert nodes[0].calls.total() == 0


# ---- expiry --------------------------------------------------------------------------------------------------------

LIMIT = BlockHeight(250)


async def ask_history(pool: EndpointPool) -> SignatureStatus | None:
    (status,) = await pool.get_signature_statuses(["order"], search_history=True)
    return status


async def test_lagging_endpoint_never_makes_an_order_expire() -> None:
    """The fresh node tells a height past the limit and dies; the other is behind and has not seen the order land."""
    clock = TestClock()
    async with scripted_nodes(2) as nodes, pool_of(nodes, clock=clock) as pool:
        fresh, lagging = nodes
        fresh.slot, fresh.height, fresh.statuses = 400, LIMIT + 1, {"order": 399}
        lagging.slot, lagging.height = 300, LIMIT - 40
        cache = BlockhashCache(pool, clock=clock)
        await cache.refresh()
        assert cache.block_height > LIMIT
        await fresh.stop()
        order = Order(LIMIT, rebroadcast_ns=ms(400), poll_ns=ms(400))
        order.start(MonoNs(0))
        for poll in range(1, 8):
            commands = order.on_time(MonoNs(poll * S), cache.block_height)
            assert AskStatus(history=True) in commands
            with pytest.raises(TransportError, match="no endpoint that has come to block height 251"):
                order.on_status(await ask_history(pool), asked="history")
            lagging.slot, lagging.height = lagging.slot + 1, lagging.height + 1
        assert order.outcome is None
        # It catches up and sees what has happened.
        lagging.slot, lagging.height, lagging.statuses = 420, LIMIT + 20, {"order": 399}
        order.on_time(MonoNs(9 * S), cache.block_height)
        status = await ask_history(pool)
        assert status is not None
        assert status.slot == 399


async def test_order_that_did_not_land_expires_on_the_word_of_an_endpoint_that_has_come_far() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].slot, nodes[0].height = 400, LIMIT + 1
        await pool.get_latest_blockhash("confirmed")
        await nodes[0].stop()
        nodes[1].slot, nodes[1].height = 401, LIMIT + 2
        order = Order(LIMIT, rebroadcast_ns=ms(400), poll_ns=ms(400))
        order.start(MonoNs(0))
        for poll in (1, 2):
            order.on_time(MonoNs(poll * S), BlockHeight(LIMIT + 1))
            order.on_status(await ask_history(pool), asked="history")
        assert order.outcome == Expired()
        # Its own block was asked for once, then it was believed.
        assert (nodes[1].calls["getLatestBlockhash"], nodes[1].calls["getSignatureStatuses"]) == (1, 2)


async def test_known_status_needs_no_witness() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].slot, nodes[0].height = 400, 400
        await pool.get_latest_blockhash("confirmed")
        await nodes[0].stop()
        nodes[1].statuses = {"order": 99}
        status = await ask_history(pool)
        assert status is not None
        assert status.slot == 99


async def test_node_behind_a_balancer_that_answers_from_an_older_slot_is_not_believed() -> None:
    async with scripted_nodes(1) as nodes, pool_of(nodes) as pool:
        nodes[0].slot, nodes[0].height, nodes[0].status_slot = 400, 400, 399
        await pool.get_latest_blockhash("confirmed")
        with pytest.raises(TransportError, match="no endpoint that has come to block height 400"):
            await ask_history(pool)
        nodes[0].status_slot = 400
        assert await ask_history(pool) is None


async def test_what_one_endpoint_knows_is_kept_while_another_is_asked_about_the_rest() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].slot, nodes[0].height, nodes[0].statuses = 300, 300, {"a": 299}
        nodes[1].slot, nodes[1].height = 400, 400
        pool.tell_height(BlockHeight(400))
        first, second = await pool.get_signature_statuses(["a", "b"], search_history=True)
        assert first is not None
        assert (first.slot, second) == (299, None)


async def test_endpoint_without_history_is_passed_over() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].errors["getSignatureStatuses"] = (-32011, "Transaction history is not available from this node")
        assert await ask_history(pool) is None
        assert counts(nodes, "getSignatureStatuses") == [1, 1]


async def test_transaction_one_endpoint_does_not_know_is_asked_of_the_others() -> None:
    async with scripted_nodes(3) as nodes, pool_of(nodes) as pool:
        nodes[2].transactions["order"] = 77
        record = await pool.get_transaction("order", "confirmed")
        assert record is not None
        assert record.slot == 77
        assert counts(nodes, "getTransaction") == [1, 1, 1]
        assert await pool.get_transaction("nobody's", "confirmed") is None


# ---- what is told --------------------------------------------------------------------------------------------------


async def test_calls_are_counted_by_purpose_method_and_class_and_slots_are_kept() -> None:
    async with scripted_nodes(2) as nodes, pool_of(nodes) as pool:
        nodes[0].fault, nodes[0].faulty = "503", {"getBalance"}
        await pool.get_balance(KEY, "confirmed", purpose="safety")
        await pool.send_transaction(b"x")
        first, second = pool.stats()
        assert first.calls == {"getBalance": 1, "sendTransaction": 1}
        assert first.purposes == {"safety": 1, "send": 1}
        assert first.failures == {"transport": 1}
        assert second.slot == 100
        assert pool.calls == {"safety": 2, "send": 2}


async def test_secrets_in_addresses_are_in_no_statistics_no_error_and_no_repr() -> None:
    key = "k3yk3yk3yk3yk3yk3yk3y"
    async with scripted_nodes(1) as nodes:
        await nodes[0].stop()
        port = nodes[0].port
        urls = [f"http://user:{key}@127.0.0.1:{port}/{key}", f"http://127.0.0.1:{port}/{key}/?api-key={key}#{key}"]
        specs = [EndpointSpec(rpc=Secret(url)) for url in (*urls, urls[1])]
        async with EndpointPool(specs, clock=TestClock(), rules=RULES) as pool:
            texts = [repr(specs), pool.endpoint, repr(pool)]
            assert len({stats.name for stats in pool.stats()}) == len(specs)
            for _ in range(4):
                with pytest.raises(TransportError) as caught:
                    await balance(pool)
                texts += [str(caught.value), repr(caught.value), caught.value.endpoint]
            with pytest.raises(TransportError) as caught:
                await pool.send_transaction(b"x")
            texts += [str(caught.value), msgspec.json.encode(pool.stats()).decode(), repr(pool.stats())]
            with pytest.raises(TransportError) as caught:
                await pool.get_signature_statuses(["s"], search_history=True)
            texts += [str(caught.value), repr(caught.value.__cause__)]
    assert not [text for text in texts if key in text]
