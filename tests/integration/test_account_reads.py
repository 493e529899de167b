"""Account reads over a node on loopback: what is merged, what a stream answers, and what is never trusted."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from msgspec import Struct
from solders.pubkey import Pubkey

from scripted_node import ScriptedNode, eventually, scripted_nodes
from slotzero.clock import SystemClock
from slotzero.errors import RpcError
from slotzero.solana import reads
from slotzero.solana.account_watch import AccountUpdate
from slotzero.solana.pubsub import PubSub
from slotzero.solana.reads import AccountReads
from slotzero.solana.rpc import AccountInfo, RpcClient
from slotzero.units import MonoNs


def key(number: int) -> Pubkey:
    return Pubkey.from_bytes(number.to_bytes(32, "big"))


A, B, C = key(1), key(2), key(3)


class Desk(Struct, kw_only=True):
    node: ScriptedNode
    rpc: RpcClient
    pubsub: PubSub
    reads: AccountReads
    tasks: asyncio.TaskGroup

    async def data(self, *keys: Pubkey, is_one_slot: bool = False) -> list[bytes | None]:
        accounts = await self.reads.get(keys, "processed", is_one_slot=is_one_slot)
        return [None if account is None else account.data for account in accounts]

    async def watch(self, at: Pubkey) -> None:
        """Watch, and wait until the stream is known to tell of it: accepted, and a slot seen."""
        self.reads.watch(at, "processed")
        await eventually(lambda: any(params[:1] == [str(at)] for _, _, params in self.node.subscriptions.values()))
        before = self.pubsub.slot
        await self.node.open_slot()
        await eventually(lambda: self.pubsub.slot not in (None, before))

    @property
    def key_lists(self) -> list[int]:
        """How many accounts each getMultipleAccounts call asked for."""
        return [len(params[0]) for method, params in self.node.requests if method == "getMultipleAccounts"]


@asynccontextmanager
async def desk(
    *, others: Sequence[ScriptedNode] = (), asked: ScriptedNode | None = None, max_watched: int = 100
) -> AsyncIterator[Desk]:
    """Reads of `asked` (by default the node that tells), told by a node of its own and by `others` after it."""
    async with scripted_nodes(1) as (node,):
        pubsub = PubSub([node.ws, *(other.ws for other in others)], clock=SystemClock(), follows_slots=True)
        async with RpcClient((asked or node).rpc) as rpc, asyncio.TaskGroup() as tasks:
            running = tasks.create_task(pubsub.run())
            await eventually(lambda: pubsub.is_connected)
            reads = AccountReads(rpc, pubsub, clock=SystemClock(), tasks=tasks, max_watched=max_watched)
            yield Desk(node=node, rpc=rpc, pubsub=pubsub, reads=reads, tasks=tasks)
            running.cancel()


# ---- merging -------------------------------------------------------------------------------------------------------


async def test_reads_of_one_turn_go_out_as_one_call_and_each_caller_gets_its_own() -> None:
    async with desk() as d:
        d.node.accounts = {str(A): b"a", str(B): b"b"}
        answers = await asyncio.gather(d.data(A), d.data(B, A), d.data(C), d.data(A))
        assert list(answers) == [[b"a"], [b"b", b"a"], [None], [b"a"]]
        assert d.key_lists == [3]
        stats = d.reads.stats()
        assert (stats.asked, stats.merged, stats.sent, stats.calls) == (5, 5, 3, 1)


async def test_reads_of_different_turns_or_commitments_are_not_merged() -> None:
    async with desk() as d:
        await d.data(A)
        await d.data(A)
        await asyncio.gather(d.reads.get([A], "processed"), d.reads.get([A], "confirmed"))
        assert d.key_lists == [1, 1, 1, 1]
        assert d.reads.stats().merged == 0


async def test_more_than_a_hundred_accounts_are_packed_without_splitting_a_caller() -> None:
    async with desk() as d:
        batches = [[key(100 * n + i) for i in range(60)] for n in range(3)] + [[key(i) for i in range(40)]]
        answers = await asyncio.gather(*(d.reads.get(batch, "processed") for batch in batches))
        assert [len(answer) for answer in answers] == [60, 60, 60, 40]
        assert sorted(d.key_lists) == [60, 60, 100]
        with pytest.raises(ValueError, match="at most 100 accounts, got 101"):
            await d.reads.get([key(i) for i in range(101)], "processed")


async def test_error_goes_to_everybody_in_the_call() -> None:
    async with desk() as d:
        d.node.errors["getMultipleAccounts"] = (-32602, "no")
        answers = await asyncio.gather(d.data(A), d.data(B), return_exceptions=True)
        assert [type(answer) for answer in answers] == [RpcError, RpcError]
        assert d.key_lists == [2]


async def test_caller_that_gives_up_does_not_disturb_the_others() -> None:
    async with desk() as d:
        d.node.accounts = {str(B): b"b"}
        first, second = d.tasks.create_task(d.data(A)), d.tasks.create_task(d.data(B))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == [b"b"]
        assert first.cancelled()


async def test_merged_call_is_counted_once_under_the_purpose_that_must_not_hide() -> None:
    async with desk() as d:
        await asyncio.gather(
            d.reads.get([A], "processed", purpose="safety"),
            d.reads.get([B], "processed", purpose="plan"),
            d.reads.get([C], "processed", purpose="warm"),
        )
        assert d.rpc.calls == {"plan": 1}
        assert d.reads.stats().purposes == {"safety": 1, "plan": 1, "warm": 1}


# ---- the stream ----------------------------------------------------------------------------------------------------


async def test_watched_account_is_read_once_and_then_answered_by_the_stream() -> None:
    async with desk() as d:
        d.node.accounts = {str(A): b"old"}
        await d.watch(A)
        assert [await d.data(A) for _ in range(3)] == [[b"old"]] * 3
        assert d.key_lists == [1]
        await d.node.change(str(A), b"new")
        await eventually(lambda: d.reads.stats().asked and _peeked(d) == b"new")
        assert await d.data(A) == [b"new"]
        assert d.key_lists == [1]


def _peeked(d: Desk) -> bytes | None:
    seen = d.reads.peek(A, "processed")
    return None if seen is None or seen[0] is None else seen[0].data


async def test_share_of_reads_without_a_call_counts_what_streams_have_told() -> None:
    async with desk() as d:
        told: list[AccountUpdate] = []
        d.reads.watch(A, "processed", lambda update, _now: told.append(update))
        await d.watch(A)
        await d.data(A)  # sent
        for number in range(6):
            await d.node.change(str(A), bytes([number]))
        await eventually(lambda: len(told) == 6)
        await d.data(A)  # cached
        await d.data(B)  # sent
        stats = d.reads.stats()
        assert (stats.asked, stats.cached, stats.streamed, stats.sent) == (3, 1, 6, 2)
        assert stats.without_rpc_bps == 10_000 * 7 // 9


async def test_several_accounts_of_one_slot_are_read_though_streams_tell_of_them() -> None:
    async with desk() as d:
        await d.watch(A)
        await d.watch(B)
        await d.data(A, B)
        await d.data(A, B)
        assert d.key_lists == [2]
        await d.data(A, B, is_one_slot=True)
        assert d.key_lists == [2, 2]


async def test_account_that_ends_is_told_as_none() -> None:
    async with desk() as d:
        told: list[int] = []
        d.reads.watch(A, "processed", lambda update, _now: told.append(update.lamports))
        await d.watch(A)
        await d.node.change(str(A), b"", lamports=0)
        await eventually(lambda: told == [0])
        assert await d.data(A) == [None]
        assert d.key_lists == []


async def test_second_watch_of_an_account_costs_no_second_subscription_and_the_last_ends_it() -> None:
    async with desk() as d:
        first, second = d.reads.watch(A, "processed"), d.reads.watch(A, "processed")
        await eventually(lambda: d.node.subscribed.count("accountSubscribe") == 1)
        first.cancel()
        first.cancel()
        await d.node.open_slot()
        assert _subscriptions(d.node) == 1
        second.cancel()
        await eventually(lambda: _subscriptions(d.node) == 0)


def _subscriptions(node: ScriptedNode) -> int:
    return sum(method == "accountSubscribe" for _, method, _ in node.subscriptions.values())


async def test_watch_beyond_the_most_is_refused_counted_and_read_by_calls() -> None:
    async with desk(max_watched=1) as d:
        await d.watch(A)
        d.reads.watch(B, "processed").cancel()
        await d.data(B)
        await d.data(B)
        assert d.reads.stats().unwatched == 1
        assert d.key_lists == [1, 1]


# ---- what is not trusted -------------------------------------------------------------------------------------------


async def test_reply_of_a_node_behind_the_stream_fills_no_watch() -> None:
    """The change lies between the two nodes: told to nobody, and not yet in the reply."""
    async with scripted_nodes(1) as (behind,), desk(asked=behind) as d:
        behind.slot, behind.accounts = 50, {str(A): b"old"}
        await d.watch(A)
        assert await d.data(A) == [b"old"]
        behind.slot, behind.accounts = d.node.slot, {str(A): b"new"}
        assert await d.data(A) == [b"new"]
        assert await d.data(A) == [b"new"]
        assert behind.calls["getMultipleAccounts"] == 2


async def test_reply_begun_before_the_subscription_was_accepted_fills_no_watch() -> None:
    async with desk() as d:
        d.node.accounts = {str(A): b"a"}
        d.reads.watch(A, "processed")
        assert await d.data(A) == [b"a"]
        assert d.reads.peek(A, "processed") is None


async def test_unreadable_notification_forgets_what_was_known() -> None:
    async with desk() as d:
        await d.watch(A)
        await d.data(A)
        await d.node.notify("accountSubscribe", str(A), {"context": {"slot": 1}, "value": {"lamports": "many"}})
        await eventually(lambda: d.reads.peek(A, "processed") is None)
        await d.data(A)
        assert d.key_lists == [1, 1]


async def test_lost_connection_forgets_what_was_known() -> None:
    async with desk() as d:
        await d.watch(A)
        await d.data(A)
        assert d.reads.peek(A, "processed") is not None
        await d.node.cut()
        await eventually(lambda: not d.pubsub.is_connected)
        assert d.reads.peek(A, "processed") is None
        await d.data(A)
        assert d.key_lists == [1, 1]


async def test_after_a_gap_each_watched_account_is_read_and_its_handlers_are_told() -> None:
    async with scripted_nodes(1) as (other,), desk(others=[other]) as d:
        told: list[tuple[bytes, int]] = []

        def on_update(update: AccountUpdate, now: MonoNs) -> None:
            assert now > 0
            told.append((update.data, update.slot))

        d.reads.watch(A, "processed", on_update)
        await d.watch(A)
        await d.node.change(str(A), b"before")
        await eventually(lambda: told)
        d.node.accounts[str(A)] = b"during"
        await d.node.cut()  # the RPC side of the node lives on
        await eventually(lambda: _subscriptions(other) == 1)
        other.slot = d.node.slot
        await other.open_slot()
        d.node.slot = other.slot + 1
        await eventually(lambda: len(told) == 2)
        assert told[1] == (b"during", d.node.slot)
        assert await d.data(A) == [b"during"]
        assert d.key_lists == [1]


async def test_account_the_new_connection_has_told_of_is_not_read_after_the_gap() -> None:
    async with scripted_nodes(1) as (other,), desk(others=[other]) as d:
        told: list[bytes] = []
        d.reads.watch(A, "processed", lambda update, _now: told.append(update.data))
        await d.watch(A)
        await d.node.cut()
        await eventually(lambda: _subscriptions(other) == 1)
        await other.change(str(A), b"told")
        await eventually(lambda: told == [b"told"])
        await other.open_slot()
        await eventually(lambda: d.pubsub.slot is not None)
        await asyncio.sleep(0.3)  # longer than a re-read would wait
        assert d.key_lists == []


async def test_account_is_the_same_from_a_call_and_from_the_stream() -> None:
    async with desk() as d:
        d.node.accounts = {str(A): b"x"}
        await d.watch(A)
        (read,) = await d.reads.get([A], "processed")
        await d.node.change(str(A), b"y")
        await eventually(lambda: _peeked(d) == b"y")
        await d.node.change(str(A), b"x")
        await eventually(lambda: _peeked(d) == b"x")
        (told,) = await d.reads.get([A], "processed")
        assert isinstance(read, AccountInfo)
        assert read == told
        assert d.key_lists == [1]


# ---- what no stream tells of ---------------------------------------------------------------------------------------


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "_POLL_MS", 5)
    monkeypatch.setattr(reads, "_UNTOLD_FOR_MS", 10)


@pytest.mark.usefixtures("quick_polls")
async def test_watch_that_the_node_refuses_is_polled_and_changes_are_told_once() -> None:
    async with desk() as d:
        d.node.refuses = {"accountSubscribe"}
        d.node.accounts = {str(A): b"old", str(B): b"b"}
        told: list[tuple[bytes, int]] = []
        d.reads.watch(A, "processed", lambda update, _now: told.append((update.data, update.slot)))
        d.reads.watch(B, "processed")
        polling = d.tasks.create_task(d.reads.run())
        await eventually(lambda: told == [(b"old", 100)])
        calls = len(d.key_lists)
        await eventually(lambda: len(d.key_lists) > calls + 3)
        assert told == [(b"old", 100)]
        assert set(d.key_lists) == {2}
        d.node.slot, d.node.accounts[str(A)] = 107, b"new"
        await eventually(lambda: told == [(b"old", 100), (b"new", 107)])
        d.node.fault, d.node.faulty = "503", {"getMultipleAccounts"}
        await asyncio.sleep(0.05)
        d.node.fault, d.node.accounts = None, {}
        await eventually(lambda: told[-1] == (b"", 107))
        polling.cancel()


@pytest.mark.usefixtures("quick_polls")
async def test_watch_that_the_stream_tells_of_is_not_polled() -> None:
    async with desk() as d:
        d.node.accounts = {str(A): b"a"}
        polling = d.tasks.create_task(d.reads.run())
        await d.watch(A)
        calls = len(d.key_lists)
        await asyncio.sleep(0.1)
        assert len(d.key_lists) == calls
        polling.cancel()


@pytest.mark.usefixtures("quick_polls")
async def test_watches_beyond_a_hundred_are_polled_in_several_calls() -> None:
    async with desk(max_watched=300) as d:
        d.node.refuses = {"accountSubscribe"}
        for number in range(230):
            d.reads.watch(key(number), "processed")
        polling = d.tasks.create_task(d.reads.run())
        await eventually(lambda: d.key_lists[:3] == [100, 100, 30])
        polling.cancel()
