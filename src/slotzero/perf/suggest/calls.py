"""Calls to servers and look-ups in caches: cold caches, calls that should be one, servers slower than others. Pure."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Final

from slotzero.clock import as_ms
from slotzero.perf.evidence import Evidence, SampleRecord, Stage
from slotzero.perf.suggest.impact import matched, replay, severity, worth_saying
from slotzero.perf.types import Suggestion

__all__ = ["cold_cache", "repeated_calls", "slow_endpoint"]

_FEW: Final = 5
_HIT_RATE_WANTED: Final = 0.80
"""Reads that a cache or a stream should answer."""
_MANY: Final = 4
"""Calls of one method in a row that make them worth a batch."""
_SLOWER: Final = 1.5
"""Times the quickest endpoint's median that make another one slow."""


def cold_cache(evidence: Evidence) -> list[Suggestion]:
    """Find caches that mostly miss, and what their misses cost."""
    found = []
    for name, looks in _grouped(evidence.samples, _cache).items():
        hits = [stage.took_ns for stage in looks if stage.cache == "hit"]
        misses = [stage.took_ns for stage in looks if stage.cache == "miss"]
        rate = len(hits) / len(looks)
        if len(misses) < _FEW or rate >= _HIT_RATE_WANTED:
            continue
        if len(hits) >= _FEW:
            goal, assumes = int(median(hits)), "a look-up that missed would take the median of those that hit"
        else:
            goal = evidence.targets_ns.get(name, 0)
            assumes = "a look-up that missed would take its target" if goal else "a hit would take no time"
        bettered = replay(evidence, partial(_misses, name=name, goal=goal))
        if bettered is None or not worth_saying(bettered):
            continue
        found.append(
            Suggestion(
                rule="cold-cache",
                severity=severity(bettered, evidence),
                title=f"{100 * (1 - rate):.0f} % of look-ups in the cache '{name}' missed",
                advice=(
                    "Fill it before it is asked (when the feed first names the key), keep entries for longer, or give "
                    "it more room; what every sample needs belongs into a background task."
                ),
                subject=name,
                evidence={
                    "hits": len(hits),
                    "misses": len(misses),
                    "hit_percent": round(100 * rate, 1),
                    "miss_median_ms": round(as_ms(int(median(misses))), 4),
                    "hit_median_ms": round(as_ms(goal), 4),
                    **bettered.figures(),
                },
                p95_ms=bettered.p95,
                impact_p95_ms=bettered.p95_after,
                assumes=assumes,
            )
        )
    return found


def repeated_calls(evidence: Evidence) -> list[Suggestion]:
    """Find methods called again and again within one sample, one after the other."""
    found = []
    for method, calls in _grouped(evidence.samples, _method).items():
        runs = [len(run) for sample in evidence.samples for run in _rows(sample, method)]
        if not runs or median(runs) < _MANY or len(runs) < _FEW:
            continue
        once = int(median(stage.took_ns for stage in calls))
        bettered = replay(evidence, partial(_as_one, method=method, once=once))
        if bettered is None or not worth_saying(bettered):
            continue
        found.append(
            Suggestion(
                rule="repeated-calls",
                severity=severity(bettered, evidence),
                title=f"{method} is called {median(runs):.0f} times in a row where one call could ask for all",
                advice=(
                    "Ask for all of them in one call (`getMultipleAccounts` takes 100 accounts, JSON-RPC takes "
                    "batches), or at least at the same time (`asyncio.TaskGroup`)."
                ),
                subject=method,
                evidence={
                    "calls_per_sample": round(len(calls) / len(evidence.samples), 2),
                    "in_a_row": float(median(runs)),
                    "call_median_ms": round(as_ms(once), 4),
                    **bettered.figures(),
                },
                p95_ms=bettered.p95,
                impact_p95_ms=bettered.p95_after,
                assumes="one call for all takes the median of one call for one",
            )
        )
    return found


def slow_endpoint(evidence: Evidence) -> list[Suggestion]:
    """Find servers that answer the same question more slowly than another one that is in use."""
    by_method = _grouped(evidence.samples, _method)
    times: dict[str, dict[str, list[int]]] = {}
    for method, calls in by_method.items():
        of: dict[str, list[int]] = defaultdict(list)
        for call in calls:
            of[call.endpoint].append(call.took_ns)
        times[method] = {endpoint: sorted(took) for endpoint, took in of.items() if len(took) >= _FEW}
    found = []
    for endpoint in sorted({endpoint for of in times.values() for endpoint in of}):
        better: dict[str, tuple[list[int], list[int]]] = {}
        for method, of in times.items():
            if endpoint not in of or len(of) < 2:  # noqa: PLR2004 another one to compare with
                continue
            best = min(of.values(), key=median)
            if median(of[endpoint]) >= _SLOWER * median(best):
                better[method] = (of[endpoint], best)
        if not better:
            continue
        bettered = replay(evidence, partial(_elsewhere, endpoint=endpoint, better=better))
        if bettered is None or not worth_saying(bettered):
            continue
        method, (slow, quick) = max(better.items(), key=_time_lost)
        found.append(
            Suggestion(
                rule="slow-endpoint",
                severity=severity(bettered, evidence),
                title=f"{endpoint} takes {median(slow) / median(quick):.1f} times as long as the quickest for {method}",
                advice=(
                    "Send latency-critical calls to the quicker endpoint and keep this one as a reserve, or ask both "
                    "and take the first answer."
                ),
                subject=endpoint,
                evidence={
                    "calls": float(sum(len(pair[0]) for pair in better.values())),
                    "median_ms": round(as_ms(int(median(slow))), 4),
                    "quickest_median_ms": round(as_ms(int(median(quick))), 4),
                    **bettered.figures(),
                },
                p95_ms=bettered.p95,
                impact_p95_ms=bettered.p95_after,
                assumes="its calls would take what the same calls take at the quickest endpoint, which bears the load",
            )
        )
    return found


def _method(stage: Stage) -> str | None:
    return stage.name if stage.endpoint else None


def _cache(stage: Stage) -> str | None:
    return stage.name if stage.cache else None


def _time_lost(item: tuple[str, tuple[list[int], list[int]]]) -> int:
    return sum(item[1][0])


def _grouped(samples: Sequence[SampleRecord], key: Callable[[Stage], str | None]) -> dict[str, list[Stage]]:
    found: dict[str, list[Stage]] = defaultdict(list)
    for sample in samples:
        for stage in sample.stages:
            name = key(stage)
            if name is not None:
                found[name].append(stage)
    return found


def _misses(sample: SampleRecord, *, name: str, goal: int) -> dict[int, int]:
    return {
        place: min(goal, stage.took_ns)
        for place, stage in enumerate(sample.stages)
        if stage.cache == "miss" and stage.name == name
    }


def _rows(sample: SampleRecord, method: str) -> list[list[int]]:
    """Return the places of calls of `method` that follow one another within one whole."""
    rows: dict[int, list[int]] = defaultdict(list)
    for place, stage in enumerate(sample.stages):
        if stage.endpoint and stage.name == method:
            row = rows[stage.parent]
            before = sample.stages[row[-1]] if row else None
            if before is None or before.start_ns + before.took_ns <= stage.start_ns:
                row.append(place)
    return [row for row in rows.values() if len(row) > 1]


def _as_one(sample: SampleRecord, *, method: str, once: int) -> dict[int, int]:
    changes: dict[int, int] = {}
    for row in _rows(sample, method):
        first, *others = row
        changes[first] = min(once, sum(sample.stages[place].took_ns for place in row))
        changes.update(dict.fromkeys(others, 0))
    return changes


def _elsewhere(
    sample: SampleRecord, *, endpoint: str, better: Mapping[str, tuple[list[int], list[int]]]
) -> dict[int, int]:
    return {
        place: matched(stage.took_ns, *better[stage.name])
        for place, stage in enumerate(sample.stages)
        if stage.endpoint == endpoint and stage.name in better
    }
