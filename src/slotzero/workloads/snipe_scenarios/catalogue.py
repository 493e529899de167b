"""The eight scenarios: which load, around which stage, held against what.

A closed loop's rate is set by its users, the hold time and the slots: half of the pools are sold by price, within 0.3
to 0.4 s, the others after the hold time of 1 s, so 100 users make about 110 snipes a second, and 0.8 of that is asked
for.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from slotzero.clock import add_ms
from slotzero.errors import SlotzeroError
from slotzero.perf.arrivals import Closed
from slotzero.perf.classify import Fault
from slotzero.perf.load_target import LoadTarget
from slotzero.perf.load_types import LoadResult, LoadTestConfig
from slotzero.perf.thresholds import Threshold
from slotzero.workloads.scenarios import SHAPES, PreparedScenario, Rerun, Scenario
from slotzero.workloads.snipe_scenarios.climb import Climbed, climb, climb_from
from slotzero.workloads.snipe_scenarios.conclusion import (
    Block,
    Limit,
    bot_block,
    chain_block,
    concluded,
    drift_block,
    driver_block,
    last_said,
    machine_block,
    what_limits,
)
from slotzero.workloads.snipe_scenarios.placement import cores
from slotzero.workloads.snipe_scenarios.scene import SLOT_MS, Scene, Stage, open_scene
from slotzero.workloads.targets import SYSTEM_TARGETS

__all__ = ["SCENARIOS", "Act"]

_JITTER_S: Final = SLOT_MS / 1_000
_PACING_S: Final = 0.4
"""Two slots: no snipe is over sooner, and users whose pools are refused at once do not turn into a flood."""
_RAMP_UP_S: Final = 2.0
_EXITS_WITHIN_SLOTS: Final = 3
_RATE_PER_USER: Final = 0.9
"""Snipes a second for each user that a healthy run brings at least, at a hold time of 1 s."""
_CHAIN_ANSWERS_S: Final = 10.0
_CLIMB_FROM_S: Final = 30.0
_SETTLED_S: Final = 600.0
_SETTLED_SHARE: Final = 0.2
_LONG_S: Final = 1_800.0
"""From here on a slope of memory says something: over a few minutes it is that of caches that fill."""
_SWEEP_AFTER_S: Final = 10.0
_BOUNDED: Final = 8
_BOUNDED_USERS: Final = 40
_BOUNDED_PACING_S: Final = 1.0
_OUTAGE: Final = (1 / 3, 1 / 2)
"""Which part of a run the bot's first endpoint is down."""

_HEALTHY: Final = (
    Limit(figure="machine.cpu_percent", limit=SYSTEM_TARGETS.avg_cpu_percent),
    Limit(figure="bot.detection_p95_ms", limit=25),
    Limit(figure="chain.slot_late_p99_ms", limit=20),
    Limit(figure="bot.reads_without_rpc_percent", limit=SYSTEM_TARGETS.reads_without_call_percent, is_least=True),
)
_HONEST: Final = (
    Limit(figure="driver.traps_bought", limit=0),
    *(Limit(figure=f"bot.{name}", limit=0) for name in ("double_buys", "lost_intents", "unknown_open")),
    Limit(figure="bot.unexplained_lamports", limit=0),
)
_AT_TWICE: Final = "bounded capacity.at_twice_users_percent"
_DEGRADES: Final = (
    Limit(figure=_AT_TWICE, limit=80, is_least=True),
    *(replace(limit, figure=f"bounded {limit.figure}") for limit in _HONEST if limit.figure.startswith("bot.")),
)
_NO_LEAK: Final = tuple(Limit(figure=f"drift.{process}_rss_mb_per_h_high", limit=5) for process in ("bot", "chain"))
"""Not the driver: it keeps a window of the timeline for each second, 4 MB an hour."""


class Act(Struct, frozen=True, kw_only=True):
    """What makes one scenario differ from the others.

    Attributes:
        limits: On what bot and chain say at the end.
        climbs: Whether it goes on to the breaking point.
        drifts: Whether it looks for leaks and a growing tail.
        has_outage: Whether one of the bot's endpoints dies and comes back.
    """

    stage: Stage = Stage()
    limits: tuple[Limit, ...] = (*_HEALTHY, *_HONEST)
    climbs: bool = False
    drifts: bool = False
    has_outage: bool = False


def _scenario(name: str, summary: str, act: Act, *thresholds: Threshold, ramp_up: float = _RAMP_UP_S) -> Scenario:
    shape = SHAPES[name]
    assert isinstance(shape.arrivals, Closed), "all shapes are closed plans"
    config = replace(
        shape,
        arrivals=replace(shape.arrivals, jitter_s=_JITTER_S, pacing_s=_PACING_S),
        ramp_up=ramp_up,
        thresholds=thresholds,
    )
    return Scenario(name=name, summary=summary, config=config, prepare=partial(_prepare, act))


def _success(percent: float) -> Threshold:
    return Threshold(metric="success_percent", limit=percent)


def _flow(hold_ms: int, slots: int = _EXITS_WITHIN_SLOTS) -> Threshold:
    return Threshold(metric="p95_ms", limit=hold_ms + slots * SLOT_MS)


def _rate(name: str) -> Threshold:
    shape = SHAPES[name]
    assert isinstance(shape.arrivals, Closed), "all shapes are closed plans"
    return Threshold(metric="ops_per_s", limit=_RATE_PER_USER * shape.arrivals.users)


def _memory(bot_mb: float = 200, chain_mb: float = 400) -> tuple[Threshold, Threshold]:
    return Threshold(metric="rss_mb:bot", limit=bot_mb), Threshold(metric="rss_mb:chain", limit=chain_mb)


# ---- a scenario's life ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def _prepare(act: Act, config: LoadTestConfig) -> AsyncIterator[PreparedScenario]:
    async with open_scene(act.stage) as scene, asyncio.TaskGroup() as tasks:
        outage = tasks.create_task(_outage(scene, config), name="outage") if act.has_outage else None
        try:
            yield replace(_watched(scene), conclude=lambda result, rerun: _conclude(act, scene, config, result, rerun))
        finally:
            if outage is not None:
                outage.cancel()


def _watched(scene: Scene) -> PreparedScenario:
    return PreparedScenario(
        target=LoadTarget(scene.driver.snipe, _as_it_is),
        processes=scene.processes,
        probe=scene.probe,
        begin=scene.watch.begin,
    )


def _as_it_is(value: object) -> Fault | None:
    """Return what an operation says of itself."""
    return value if isinstance(value, Fault) else None


async def _outage(scene: Scene, config: LoadTestConfig) -> None:
    """Cut the bot's first endpoint off for a while, in the middle of the run."""
    start = scene.clock.mono_ns()
    down, up = (round(share * config.duration * 1_000) for share in _OUTAGE)
    plan: dict[str, Any] = await scene.lines.ask(dict[str, Any], "slotzero_faults", "first")
    await scene.clock.sleep_until(add_ms(start, down))
    await scene.lines.call("slotzero_faults", "first", {**plan, "refuseConnections": True})
    try:
        await scene.clock.sleep_until(add_ms(start, up))
    finally:
        # Sent, not awaited: a run that ends early shall leave nothing broken either.
        scene.lines.call("slotzero_faults", "first", plan)


async def _conclude(act: Act, scene: Scene, config: LoadTestConfig, result: LoadResult, rerun: Rerun) -> LoadResult:
    blocks: dict[str, Block] = {"machine": machine_block(result, len(cores()))}
    notes = [f"hold {scene.stage.hold_ms} ms, slots of {scene.stage.slot_ms} ms"]
    shares = (
        "shares all cores with bot and driver" if scene.chain_core is None else f"has core {scene.chain_core} to itself"
    )
    notes.append(f"the chain {shares}")
    if (limit := what_limits(result)) is not None:
        notes.append(limit)
    limits = list(act.limits)
    if act.drifts:
        skip_s = min(_SETTLED_SHARE * config.duration, _SETTLED_S)
        blocks["drift"] = drift_block(result, skip_s=skip_s)
        limits += slope_limits(config.duration)
    climbs = act.climbs and result.stopped == "completed"
    if climbs and (why := no_climb(config)) is not None:
        climbs = False
        notes.append(why)
    unknown: dict[str, str] = {}
    if climbs:
        climbed = await climb(result, config, rerun)
        unknown[_AT_TWICE] = climbed.unknown
        result = _with(result, climbed, blocks, notes)
    await _ask_bot(scene, blocks, notes)
    await _ask_chain(scene, blocks, notes)
    if "chain" in blocks:
        blocks["chain"] |= {name: last_said(result, f"chain_{name}") for name in ("queue_p99_ms", "reads_wait_p99_ms")}
    blocks["driver"] = driver_block(scene.driver.stats())
    if climbs:
        limits += _DEGRADES
    if "capacity" in blocks:  # else somebody has stopped the first climb, or its first step was none of the bot's
        climbed = await _degrade(act, config, rerun)
        unknown[_AT_TWICE] = climbed.unknown
        result = _with(result, climbed, blocks, notes)
    return concluded(result, blocks, limits, notes, unknown=unknown)


def _with(result: LoadResult, climbed: Climbed, blocks: dict[str, Block], notes: list[str]) -> LoadResult:
    """Add what a climb has found to blocks and notes. Returns the result with its incidents."""
    blocks |= climbed.blocks
    notes += climbed.notes
    return replace(result, incidents=(*result.incidents, *climbed.incidents))


async def _degrade(act: Act, config: LoadTestConfig, rerun: Rerun) -> Climbed:
    """Climb once more around a bot that admits few pools at once, so that the bot is the limit and not the chain.

    Each pool costs the chain something, whether it is sniped or refused: where chain, driver and bot share a machine,
    twice the load of the first climb saturates the chain. Here twice the load is well below what the chain can do, and
    each user offers at most one pool a second, sniped or refused, so that twice the users are twice the load.
    """
    plan = config.plan
    assert isinstance(plan, Closed), "all shapes are closed plans"
    load = replace(config, arrivals=replace(plan, users=_BOUNDED_USERS, pacing_s=_BOUNDED_PACING_S))
    found = Climbed(blocks={})
    try:
        async with open_scene(replace(act.stage, in_flight=_BOUNDED)) as scene:
            found = _bounded(await climb_from(load, rerun, _watched(scene)))
            document = await scene.bot.finish()
            if document is None:
                note = f"the bounded bot left no report of its run ({scene.bot.ended_how})"
                found = replace(found, notes=(*found.notes, note))
            else:
                found = replace(found, blocks={**found.blocks, "bounded bot": bot_block(document)})
    except SlotzeroError as error:  # what was measured until here is not to be lost
        note = f"the bounded climb was given up: {error}"
        found = replace(found, notes=(*found.notes, note), unknown=found.unknown or note)
    return found


def _bounded(climbed: Climbed) -> Climbed:
    note = f"bounded: {_BOUNDED} pools are checked or bought at once, a user offers one a second at most"
    return replace(
        climbed,
        blocks={f"bounded {name}": block for name, block in climbed.blocks.items()},
        notes=(note, *(f"bounded {text}" for text in climbed.notes)),
    )


async def _ask_bot(scene: Scene, blocks: dict[str, Block], notes: list[str]) -> None:
    document = await scene.bot.finish()
    if document is None:
        notes.append(f"the bot left no report of its run ({scene.bot.ended_how}); it said: {scene.bot_said()}")
        return
    blocks["bot"] = bot_block(document)
    blocks["refusals"] = dict(document["snipes"]["rejected"])
    blocks["failures"] = dict(document["snipes"]["failures"])
    blocks["endpoint failures"] = endpoint_failures(document)


async def _ask_chain(scene: Scene, blocks: dict[str, Block], notes: list[str]) -> None:
    """Ask after the bot has ended: then nothing is under way any more."""
    try:
        async with asyncio.timeout(_CHAIN_ANSWERS_S):
            stats = await scene.chain_stats()
            injected: dict[str, Any] = await scene.lines.ask(dict[str, Any], "slotzero_injected")
    except TimeoutError:
        notes.append(f"the chain does not answer any more: it did not within {_CHAIN_ANSWERS_S:g} s")
        return
    except SlotzeroError as error:
        notes.append(f"the chain does not answer any more: {error}")
        return
    blocks["chain"] = chain_block(stats)
    if any(injected["total"].values()):
        blocks["faults"] = faults_block(injected["total"], blocks.get("endpoint failures", {}))
    if "jito" in stats:
        blocks["bundles"] = bundles_block(stats["jito"])


def no_climb(config: LoadTestConfig) -> str | None:
    """Return why there is no climb after a run with this load, or None. *Pure.*"""
    if config.duration < _CLIMB_FROM_S:
        return f"no climb to the breaking point: that takes a run of {_CLIMB_FROM_S:.0f} s at least"
    if config.model == "open":
        return "no climb to the breaking point: it is by users, and this run had a rate; leave --rate out"
    return None


def slope_limits(duration_s: float) -> tuple[Limit, ...]:
    """Return what the slopes of memory are held against in a run of so many seconds. *Pure.*"""
    return _NO_LEAK if duration_s >= _LONG_S else ()


def endpoint_failures(document: dict[str, Any]) -> Block:
    """Return how many calls of the bot's failed, by class, or were given up, over all its endpoints. *Pure.*"""
    failures: Counter[str] = Counter()
    for endpoint in document["endpoints"]:
        failures.update(endpoint["failures"])
        failures["abandoned"] += endpoint["abandoned"]
    return dict(failures)


def faults_block(injected: dict[str, int], seen: Block) -> Block:
    """Return what the chain has done to its clients beside what the bot noticed of it. *Pure.*

    Each refused request is one failure to the bot, unless it had given the call up before the refusal came. Connections
    that are cut may have been idle, so of those the bot notices fewer.
    """
    limited, transport, abandoned = (seen.get(name) or 0 for name in ("rate_limited", "transport", "abandoned"))
    cuts = injected["cutConnections"] + injected["refusedConnections"]
    return {
        **injected,
        "seen_rate_limited": limited,
        "unexplained_rate_limited": max(limited - injected["http429"], injected["http429"] - limited - abandoned, 0),
        "seen_transport": transport,
        "unexplained_transport": max(transport - cuts, 0),
    }


def bundles_block(stats: dict[str, Any]) -> Block:
    """Return what became of the bundles. *Pure.*"""
    accepted = stats["accepted"]
    return {
        "accepted": accepted,
        "landed": stats["landed"],
        "landed_percent": round(100 * stats["landed"] / accepted, 2) if accepted else None,
    }


# ---- the eight -----------------------------------------------------------------------------------------------------

SCENARIOS: Final = (
    _scenario("BASELINE", "10 at once for 30 s", Act(), _success(99), _rate("BASELINE"), _flow(1_000), *_memory()),
    _scenario("MODERATE", "50 at once for 60 s", Act(), _success(99), _rate("MODERATE"), _flow(1_000), *_memory()),
    _scenario(
        "HEAVY",
        "100 at once for 90 s: what the sniper is built for",
        Act(),
        _success(99),
        _rate("HEAVY"),
        _flow(1_000),
        *_memory(),
    ),
    _scenario(
        "STRESS",
        "200 at once for 60 s, then more until it breaks, then twice of that",
        Act(limits=_HONEST, climbs=True),
        _success(SYSTEM_TARGETS.success_at_capacity_percent),
        *_memory(500, 1_000),
    ),
    _scenario(
        "SPIKE",
        "from none to 100 at once within a slot, for 60 s",
        Act(),
        _success(90),
        _flow(1_000, 10),
        *_memory(),
        ramp_up=0.0,
    ),
    _scenario(
        "SUSTAINED",
        "50 at once for 300 s: leaks and drift",
        Act(
            stage=Stage(sweep_after_s=_SWEEP_AFTER_S),
            limits=(*_HEALTHY, *_HONEST, Limit(figure="drift.p99_change_percent", limit=10)),
            drifts=True,
        ),
        _success(99),
        _rate("SUSTAINED"),
        _flow(1_000),
        *_memory(500, 1_000),
    ),
    _scenario(
        "FAST_SNIPES",
        "50 at once for 60 s: Geyser raced against the WebSocket feed, buys as bundles with a tip",
        Act(
            stage=Stage(arguments=("--geyser-port", "0", "--jito-port", "0")),
            limits=(
                *_HEALTHY,
                *_HONEST,
                Limit(figure="bundles.landed_percent", limit=SYSTEM_TARGETS.bundles_landed_percent, is_least=True),
            ),
        ),
        _success(99),
        _rate("FAST_SNIPES"),
        _flow(1_000),
        *_memory(),
    ),
    _scenario(
        "SLOW_SNIPES",
        "30 at once for 60 s on a congested network, and one of two endpoints dies",
        Act(
            stage=Stage(network="congested", arguments=("--second-port", "0")),
            limits=(
                *_HONEST,
                Limit(figure="faults.unexplained_rate_limited", limit=0),
                Limit(figure="faults.unexplained_transport", limit=0),
            ),
            has_outage=True,
        ),
        _success(SYSTEM_TARGETS.success_percent),
        *_memory(),
    ),
)
