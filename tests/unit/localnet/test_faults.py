"""Faults as a machine: which requests are struck, and that every stroke is counted."""

from random import Random

import msgspec
import pytest

from chain_world import WALLETS, World, pay
from slotzero.clock import ms
from slotzero.localnet.chain import Landed
from slotzero.localnet.faults import FaultCounts, FaultPlan, Faults, Latency, Portion, RateLimit, total
from slotzero.localnet.render import base64_text
from slotzero.units import MonoNs

TO = WALLETS[1].pubkey()
SOL = 1_000_000_000


def test_next_few_are_struck_then_a_share_of_the_rest() -> None:
    faults = Faults("first", 7)
    faults.set(FaultPlan(drop_sends=Portion(next=3), http_429=RateLimit(share_bps=2_500)))
    assert [faults.drops_send() for _ in range(6)] == [True] * 3 + [False] * 3
    struck = [faults.refuses_request() for _ in range(4_000)]
    assert 900 < sum(struck) < 1_100
    counts = faults.counts()
    assert (counts.dropped_sends, counts.http_429, counts.delayed, counts.stalled_frames) == (3, sum(struck), 0, 0)


def test_faults_are_armed_only_while_there_are_some() -> None:
    faults = Faults()
    armed = []
    for plan in (FaultPlan(), FaultPlan(delay_ms=1), FaultPlan()):
        faults.set(plan)
        armed.append(faults.is_armed)
    assert armed == [False, True, False]


def test_same_plan_and_seed_strike_the_same_requests_and_ports_differ() -> None:
    def struck(name: str, seed: int) -> list[bool]:
        faults = Faults(name, seed)
        faults.set(FaultPlan(drop_sends=Portion(share_bps=5_000)))
        return [faults.drops_send() for _ in range(64)]

    assert struck("first", 7) == struck("first", 7)
    assert struck("first", 7) != struck("second", 7)
    assert struck("first", 7) != struck("first", 8)


def test_latency_has_the_quantiles_it_was_given() -> None:
    latency = Latency(p50_us=2_000, p99_us=30_000)
    random = Random(1)  # noqa: S311 repeatable on purpose
    drawn = sorted(latency.sample(random) for _ in range(20_000))
    assert 1_900_000 < drawn[10_000] < 2_100_000
    assert 27_000_000 < drawn[19_800] < 33_000_000
    assert drawn[-1] <= 150_000_000
    assert {Latency(p50_us=700).sample(random) for _ in range(50)} == {700_000}
    assert Latency().sample(random) == 0


def test_frames_and_requests_wait_by_the_same_latency_and_are_counted_apart() -> None:
    faults = Faults("first", 7, FaultPlan(latency=Latency(p50_us=1_000), delay_ms=4))
    assert faults.frame_due(MonoNs(5)) == 1_000_005
    assert faults.request_delay() == ms(5)
    assert faults.answer_delay() == ms(1)
    counts = faults.counts()
    assert (counts.delayed, counts.delayed_frames) == (1, 1)
    faults.set(FaultPlan())
    assert (faults.frame_due(MonoNs(5)), faults.request_delay()) == (0, 0)
    assert faults.counts() == counts


def test_refused_and_cut_connections_are_counted_and_counts_add_up() -> None:
    dead, healthy = Faults(plan=FaultPlan(refuse_connections=True)), Faults()
    assert [dead.refuses_connection(), dead.refuses_connection(), healthy.refuses_connection()] == [True, True, False]
    dead.cut(connections=3, requests=2)
    healthy.cut(connections=1)
    assert total(dead.counts(), healthy.counts()) == FaultCounts(
        refused_connections=2, cut_connections=4, cut_requests=2
    )


def test_whole_share_strikes_all_and_none_strikes_none_and_counts_outlive_the_plan() -> None:
    faults = Faults()
    faults.set(FaultPlan(drop_sends=Portion(share_bps=10_000), delay_ms=5, stall_ws=True))
    assert faults.is_armed
    assert all(faults.drops_send() for _ in range(50))
    assert not any(faults.refuses_request() for _ in range(50))
    assert (faults.request_delay(), faults.stalls_frame()) == (ms(5), True)
    faults.set(FaultPlan())
    assert (faults.drops_send(), faults.request_delay(), faults.stalls_frame()) == (False, 0, False)
    assert msgspec.to_builtins(faults.counts()) == {
        "droppedSends": 50,
        "delayed": 1,
        "http429": 0,
        "stalledFrames": 1,
        "delayedFrames": 0,
        "refusedConnections": 0,
        "cutConnections": 0,
        "cutRequests": 0,
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"drop_sends":{}}',
        '{"dropSends":{"shareBps":10001}}',
        '{"dropSends":{"next":-1}}',
        '{"delayMs":true}',
        '{"x":1}',
    ],
)
def test_plan_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=FaultPlan)


def send(world: World, lamports: int, *, skip_preflight: bool) -> object:
    raw = base64_text(world.signed(pay(TO, lamports)))
    return world.call("sendTransaction", raw, {"encoding": "base64", "skipPreflight": skip_preflight})


@pytest.mark.parametrize("skip_preflight", [True, False])
def test_dropped_send_returns_its_signature_and_never_lands(skip_preflight: bool) -> None:  # noqa: FBT001 a parameter
    world = World()
    world.faults.set(FaultPlan(drop_sends=Portion(next=1)))
    raw = world.signed(pay(TO))
    answer = send(world, SOL, skip_preflight=skip_preflight)
    assert isinstance(answer, str)
    assert world.chain.stats().landed == 0
    assert world.value("getSignatureStatuses", [answer]) == [None]
    assert world.faults.counts().dropped_sends == 1
    # The same bytes, sent again, are no duplicate.
    assert isinstance(world.chain.submit(raw), Landed)
    assert isinstance(send(world, SOL + 1, skip_preflight=skip_preflight), str)
    assert world.chain.stats().landed == 2


def test_send_whose_preflight_fails_is_refused_as_ever_and_takes_no_fault() -> None:
    world = World()
    world.faults.set(FaultPlan(drop_sends=Portion(next=1)))
    refused = send(world, 10**6 * SOL, skip_preflight=False)
    assert isinstance(refused, dict)
    assert refused["code"] == -32002
    assert world.faults.counts().dropped_sends == 0
    malformed = world.call("sendTransaction", "AAAA", {"encoding": "base64", "skipPreflight": True})
    assert isinstance(malformed, dict)
    assert malformed["code"] == -32602
    assert world.faults.counts().dropped_sends == 0
    assert isinstance(send(world, SOL, skip_preflight=True), str)
    assert (world.faults.counts().dropped_sends, world.chain.stats().landed) == (1, 0)
