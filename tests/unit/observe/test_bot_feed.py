"""The bot's events and state as metrics: what each event counts, what the ring drops, what the drain measures."""

import asyncio
import gc
from typing import Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from observe_lab import TARGETS, engine_report, snipe_trace
from slotzero.clock import TestClock
from slotzero.errors import UsageError
from slotzero.hook import BotEvent, PoolJudged, PoolSeen, PositionEnded, SnipeDecided, StageTimed
from slotzero.observe.bot import BotFeed, BotState, Ring
from slotzero.observe.exporter import MetricsServer
from slotzero.observe.metrics import CONTENT_TYPE, OPENMETRICS_TYPE, Registry
from slotzero.trace import Component, Trace
from slotzero.trading.journal import PositionRecord
from slotzero.units import LAMPORTS_PER_SOL, DurationNs, Lamports, LamportsDelta, TokenAmount, WallNs
from trading_lab import SIGNER, pump_pool


class Watched:
    def __init__(self, clock: TestClock | None = None) -> None:
        self.registry = Registry()
        self.heard: list[BotEvent] = []
        self.feed = BotFeed(self.registry, targets=TARGETS, clock=clock or TestClock(), listeners=[self.heard.append])

    def tell(self, *events: BotEvent) -> None:
        for event in events:
            self.feed.hook(event)
        self.feed.drain()

    def value(self, name: str, **labels: str) -> float:
        families = parse_text(self.registry.render().decode())
        (found,) = (
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        )
        return float(found)


def test_bought_snipe_times_its_stages_with_own_time_apart() -> None:
    watched = Watched()
    trace = snipe_trace(own_us=50, waited_ms=220)
    watched.tell(SnipeDecided(id="m", outcome="bought", reason="", trace=trace, slots_to_land=2))
    execution = trace.span(Component.EXECUTION)
    assert execution is not None
    assert execution.own_ns is not None
    assert watched.value("bot_snipes_total", outcome="bought") == 1
    assert watched.value("bot_landing_slots_bucket", le="1.0") == 0
    assert watched.value("bot_landing_slots_bucket", le="2.0") == 1
    took = watched.value("bot_stage_duration_seconds_sum", component="EXECUTION")
    assert took == pytest.approx(execution.total_ns / 1e9)
    assert watched.value("bot_stage_own_seconds_total", component="EXECUTION") == pytest.approx(execution.own_ns / 1e9)
    assert watched.value("bot_stage_duration_seconds_count", component="EXIT") == 0, "it is not over yet"


def test_exit_is_timed_once_when_the_position_ends() -> None:
    watched = Watched()
    trace = snipe_trace(exits=True)
    watched.tell(
        SnipeDecided(id="m", outcome="bought", reason="", trace=trace),
        PositionEnded(id="m", reason="take_profit", is_stuck=False, pnl_lamports=LamportsDelta(5), trace=trace),
    )
    assert watched.value("bot_stage_duration_seconds_count", component="EXIT") == 1
    assert watched.value("bot_stage_duration_seconds_count", component="EXECUTION") == 1
    assert watched.value("bot_exits_total", reason="take_profit") == 1


def test_refused_snipe_counts_its_reason_and_no_stage_it_never_came_to() -> None:
    watched = Watched()
    watched.tell(SnipeDecided(id="m", outcome="refused", reason="mayhem", trace=Trace()))
    assert watched.value("bot_refusals_total", reason="mayhem") == 1
    assert watched.value("bot_stage_duration_seconds_count", component="DETECTION") == 0


def test_feeds_are_told_apart_by_who_was_first() -> None:
    watched = Watched()
    watched.tell(
        PoolSeen(feed="a", is_first=True, lag_ns=DurationNs(0)),
        PoolSeen(feed="b", is_first=False, lag_ns=DurationNs(7_000_000)),
    )
    assert watched.value("bot_feed_pools_total", feed="a", place="first") == 1
    assert watched.value("bot_feed_lag_seconds_bucket", feed="b", le="0.01") == 1
    assert watched.value("bot_feed_lag_seconds_bucket", feed="b", le="0.003") == 0


def test_verdict_and_a_component_beside_the_line_are_timed() -> None:
    watched = Watched()
    watched.tell(
        PoolJudged(decision="DENY", took_ns=DurationNs(8_000_000)),
        StageTimed(component=Component.RUG_DETECTION, total_ns=DurationNs(2_000_000)),
    )
    assert watched.value("bot_verdicts_total", decision="DENY") == 1
    assert watched.value("bot_stage_duration_seconds_sum", component="HONEYPOT") == pytest.approx(0.008)
    assert watched.value("bot_stage_duration_seconds_sum", component="RUG_DETECTION") == pytest.approx(0.002)


def test_listeners_hear_each_event_in_its_order() -> None:
    watched = Watched()
    events = [PoolJudged(decision=str(number), took_ns=DurationNs(1)) for number in range(5)]
    watched.tell(*events)
    assert watched.heard == events


def test_full_ring_drops_what_is_new_and_says_so() -> None:
    ring = Ring(3)
    events = [PoolJudged(decision=str(number), took_ns=DurationNs(1)) for number in range(5)]
    for event in events:
        ring.put(event)
    assert ring.dropped == 2
    assert ring.take() == events[:3]
    assert ring.take() == []
    ring.put(events[4])
    assert ring.take() == [events[4]]


def test_state_of_the_engine_is_shown() -> None:
    watched = Watched()
    watched.feed.show(
        engine_report(unknown_open=2), BotState(cache={("verdicts", "hit"): 7}, drift={"discriminator": 3})
    )
    assert watched.value("bot_wallet_balance_sol") == 9.5
    assert watched.value("bot_position_value_sol") == 0.04
    assert watched.value("bot_invariant_violations", kind="unknown_open") == 2
    assert watched.value("bot_feed_dropped_total", reason="malformed_event") == 2
    assert watched.value("bot_drift_total", kind="malformed_event") == 2
    assert watched.value("bot_drift_total", kind="discriminator") == 3
    assert watched.value("bot_endpoint_latency_seconds", endpoint="main") == 0.0025
    assert watched.value("bot_cache_lookups_total", cache="verdicts", result="hit") == 7
    assert watched.value("bot_cache_lookups_total", cache="accounts", result="hit") == 37
    assert watched.value("bot_cache_lookups_total", cache="accounts", result="miss") == 3
    assert watched.value("process_resident_memory_bytes") > 10e6


@pytest.mark.parametrize(("state", "up"), [("closed", 1), ("half_open", 0), ("open", 0)])
def test_endpoint_that_is_only_probed_is_not_up(state: str, up: int) -> None:
    watched, report = Watched(), engine_report()
    (endpoint,) = report.endpoints
    probed = msgspec.structs.replace(endpoint, state=state)
    watched.feed.show(msgspec.structs.replace(report, endpoints=(probed,)), BotState())
    assert watched.value("bot_endpoint_up", endpoint="main") == up


def test_first_burst_of_drift_is_an_increase() -> None:
    assert Watched().value("bot_drift_total", kind="malformed_event") == 0


def test_graduated_position_is_held_and_has_not_ended() -> None:
    states: tuple[Literal["open", "stuck", "graduated", "closed"], ...] = ("open", "stuck", "graduated", "closed")
    positions = tuple(
        PositionRecord(
            id=state,
            pool=pump_pool(number),
            wallet=SIGNER.pubkey,
            bought=TokenAmount(9),
            tokens=TokenAmount(9),
            quoted_lamports=Lamports(95),
            opened_wall_ns=WallNs(1),
            pnl_lamports=LamportsDelta(-(10**number) * LAMPORTS_PER_SOL),
            state=state,
        )
        for number, state in enumerate(states)
    )
    watched = Watched()
    watched.feed.show(engine_report(positions=positions, forgotten_pnl_lamports=0), BotState())
    for state in ("open", "stuck", "graduated"):
        assert watched.value("bot_positions", state=state) == 1
    assert watched.value("bot_realised_pnl_sol") == -1_010, "the stuck and the closed one"


def test_state_is_shown_without_an_engine() -> None:
    watched = Watched()
    watched.feed.show(None, BotState())
    assert watched.value("process_open_fds") > 0


async def test_drain_runs_ten_times_a_second_and_asks_for_the_state_once() -> None:
    clock = TestClock()
    watched, asked = Watched(clock), 0

    def report() -> None:
        nonlocal asked
        asked += 1

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(watched.feed.run(report))
        watched.feed.hook(PoolJudged(decision="ALLOW", took_ns=DurationNs(1)))
        await clock.advance(100_000_000)
        assert len(watched.heard) == 1
        assert asked == 0
        for _ in range(9):
            await clock.advance(100_000_000)
        assert asked == 1
        assert watched.value("bot_event_loop_delay_seconds_count") == 10
        gc.collect()
        watched.feed.hook(PoolJudged(decision="ALLOW", took_ns=DurationNs(1)))
        running.cancel()
    assert len(watched.heard) == 2, "what waits at the end is counted"


def test_server_answers_in_the_format_that_is_asked_for() -> None:
    registry = Registry()
    registry.counter("seen_total", "Seen.").at().add(3)
    with MetricsServer(registry) as server:
        with urlopen(server.url, timeout=5) as answer:
            assert answer.headers["Content-Type"] == CONTENT_TYPE
            assert answer.read() == b"# HELP seen_total Seen.\n# TYPE seen_total counter\nseen_total 3\n"
        asked = Request(server.url, headers={"Accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1"})
        with urlopen(asked, timeout=5) as answer:
            assert answer.headers["Content-Type"] == OPENMETRICS_TYPE
            assert answer.read().endswith(b"seen_total 3\n# EOF\n")
        with pytest.raises(HTTPError, match="404"):
            urlopen(server.url.replace("/metrics", "/../etc/passwd"), timeout=5)


def test_taken_port_is_one_sentence() -> None:
    with MetricsServer(Registry()) as server:
        port = int(server.url.rsplit(":", 1)[1].split("/")[0])
        with pytest.raises(UsageError, match=f"cannot be served on 127.0.0.1:{port}.*name another port"):
            MetricsServer(Registry(), port=port).__enter__()
