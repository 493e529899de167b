"""A promtool unit test for every rule: it fires, not just below, not on no data, and it resolves.

A case is a few series that say when the alert is to be seen and when not; `documents` turns all of them into one file
for `promtool test rules`. Series are sampled each 30 s; times are in minutes.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from slotzero.observe.alerts import alert_groups
from slotzero.observe.rules import Alert, Group
from slotzero.observe.slo import PAIRS, SLOS, admissible, slo_groups

__all__ = ["Case", "all_cases", "documents"]

STEP_S = 30
EACH_MINUTE = 60 // STEP_S
INSTANCE = "a:1"
JOB = f'job="slotzero", instance="{INSTANCE}"'


@dataclass(frozen=True)
class Case:
    """Input series, and the minutes at which an alert fires or does not."""

    name: str
    alert: str
    series: dict[str, str]
    fires_at: tuple[float, ...] = ()
    silent_at: tuple[float, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    kind: str = "fires"


def _labels(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.replace('"', "").split(", "))


def _grows(minutes: float, per_step: float, start: float = 0, *, then_flat_minutes: float = 0) -> str:
    """A counter that grows for so long, and then stands still for so long."""
    steps = int(minutes * EACH_MINUTE)
    text = f"{start:g}+{per_step:g}x{steps}"
    if then_flat_minutes:
        text += f" {start + per_step * steps:g}x{int(then_flat_minutes * EACH_MINUTE)}"
    return text


def _flat(minutes: float, value: float) -> str:
    return f"{value:g}x{int(minutes * EACH_MINUTE)}"


# ---- latencies: two sources, all operations in one bucket ----


def _latency_series(
    component: str, bounds: tuple[float, float, float], over: float, minutes: float, *, bot: bool, **more: Any
) -> dict[str, str]:
    """Histograms of 40 operations a minute: a share `over` above the middle bound, the rest between the lower two."""
    family = "bot_stage_duration_seconds" if bot else "benchmark_duration_ms"
    scale = 1_000 if bot else 1
    low, limit, high = (repr(bound / scale) for bound in bounds)
    chosen = f'{JOB}, component="{component}"'
    rate = 20.0
    return {
        f'{family}_bucket{{{chosen}, le="{low}"}}': _grows(minutes, 0, **more),
        f'{family}_bucket{{{chosen}, le="{limit}"}}': _grows(minutes, rate * (1 - over), **more),
        f'{family}_bucket{{{chosen}, le="{high}"}}': _grows(minutes, rate, **more),
        f'{family}_bucket{{{chosen}, le="+Inf"}}': _grows(minutes, rate, **more),
        f"{family}_count{{{chosen}}}": _grows(minutes, rate, **more),
    }


def _latency_cases(alert: str, component: str, bounds: tuple[float, float, float], first_min: float) -> list[Case]:
    cases: list[Case] = []
    for bot in (False, True):
        source = "bot" if bot else "lab"
        labels = {**_labels(JOB), "component": component, "source": source}
        bad = _latency_series(component, bounds, 0.10, 30, bot=bot)
        cases += [
            Case(f"{alert} on the {source}'s figures", alert, bad, (first_min + 2, 20), (first_min - 1,), labels),
            Case(
                f"{alert} not with a p95 just within the limit, {source}",
                alert,
                _latency_series(component, bounds, 0.05, 30, bot=bot),
                silent_at=(10, 20, 30),
                kind="just below",
            ),
            Case(
                f"{alert} not on too few operations, {source}",
                alert,
                {
                    name: values if "_bucket" in name and "+Inf" not in name else _grows(30, 0.2)
                    for name, values in _latency_series(component, bounds, 1.0, 30, bot=bot).items()
                },
                silent_at=(10, 20, 30),
                kind="too few",
            ),
            Case(
                f"{alert} resolves when operations are fast again, {source}",
                alert,
                _then(
                    _latency_series(component, bounds, 0.10, 15, bot=bot),
                    _latency_series(component, bounds, 0.0, 45, bot=bot),
                ),
                fires_at=(14,),
                silent_at=(50, 60),
                labels=labels,
                kind="resolves",
            ),
        ]
    return cases


def _then(first: dict[str, str], second: dict[str, str]) -> dict[str, str]:
    """The second part of each series after the first, going on from where it ended."""
    joined = {}
    for name, values in first.items():
        start, rest = values.split("+")
        step, count = rest.split("x")
        end = float(start) + float(step) * int(count)
        _, rest = second[name].split("+")
        step, count = rest.split("x")
        joined[name] = f"{values} {end + float(step):g}+{step}x{int(count) - 1}"
    return joined


# ---- success ----


def _lab_success(failing: float, minutes: float) -> dict[str, str]:
    chosen = f'{JOB}, component="EXECUTION"'
    return {
        f"benchmark_total{{{chosen}}}": _grows(minutes, 10),
        f'benchmark_errors_total{{{chosen}, type="Timeout"}}': _grows(minutes, 10 * failing),
    }


def _bot_success(failing: float, minutes: float, rate: float = 10) -> dict[str, str]:
    return {
        f'bot_snipes_total{{{JOB}, outcome="bought"}}': _grows(minutes, rate * (1 - failing)),
        f'bot_snipes_total{{{JOB}, outcome="failed"}}': _grows(minutes, rate * failing / 2),
        f'bot_snipes_total{{{JOB}, outcome="unknown"}}': _grows(minutes, rate * failing / 2),
        f'bot_snipes_total{{{JOB}, outcome="refused"}}': _grows(minutes, 100),
    }


def _success_cases() -> list[Case]:
    alert = "SlotzeroSuccessLow"
    lab = {**_labels(JOB), "component": "EXECUTION", "source": "lab"}
    bot = {**_labels(JOB), "component": "FULL_FLOW", "source": "bot"}
    unseen = {
        f'benchmark_total{{{JOB}, component="EXECUTION"}}': "0x10 100x40",
        f'benchmark_errors_total{{{JOB}, component="EXECUTION", type="New"}}': "_x10 31x40",
    }
    no_errors = {f'benchmark_total{{{JOB}, component="EXECUTION"}}': _grows(30, 10)}
    return [
        Case("benchmark fails in 31 %", alert, _lab_success(0.31, 30), (5, 20), (1,), lab),
        Case("benchmark fails in 30 %", alert, _lab_success(0.30, 30), silent_at=(5, 20, 30), kind="just below"),
        Case("errors of a kind not seen before", alert, unseen, (9,), (4,), lab),
        Case("benchmark without a single error", alert, no_errors, silent_at=(5, 20, 30), kind="just below"),
        Case("buys fail in 31 %, refusals do not count", alert, _bot_success(0.31, 30), (5, 20), (1,), bot),
        Case("buys fail in 30 %", alert, _bot_success(0.30, 30), silent_at=(5, 20, 30), kind="just below"),
        Case("nine buys all fail", alert, _bot_success(1.0, 30, rate=9 / 21), silent_at=(5, 20), kind="too few"),
        Case(
            "benchmark recovers",
            alert,
            _then(_lab_success(0.5, 15), _lab_success(0, 45)),
            (14,),
            (50,),
            lab,
            kind="resolves",
        ),
        Case(
            "buys recover", alert, _then(_bot_success(0.5, 15), _bot_success(0, 45)), (14,), (50,), bot, kind="resolves"
        ),
    ]


# ---- gauges of the lab and of the process ----


def _gauge_cases(alert: str, gauge: str, limit: float) -> list[Case]:
    chosen = f'{JOB}, component="EXECUTION"'
    labels = {**_labels(JOB), "component": "EXECUTION", "source": "lab"}
    fresh = {f"benchmark_last_run_timestamp_seconds{{{chosen}}}": _flat(60, 60)}
    high, at = {f"{gauge}{{{chosen}}}": _flat(60, limit + 0.1)}, {f"{gauge}{{{chosen}}}": _flat(60, limit)}
    first = 6
    return [
        Case(f"{alert} on the lab's gauge", alert, {**fresh, **high}, (first, 10), (1,), labels),
        Case(f"{alert} not at the limit, lab", alert, {**fresh, **at}, silent_at=(first, 10), kind="just below"),
        Case(
            f"{alert} resolves when the run is long past, lab",
            alert,
            {**fresh, **high},
            (10,),
            (30, 59),
            labels,
            kind="resolves",
        ),
        Case(f"{alert} not without a run, lab", alert, high, silent_at=(first, 10, 20), kind="too few"),
    ]


def _process_cases() -> list[Case]:
    info = {f'bot_build_info{{{JOB}, version="1", python="3"}}': _flat(60, 1)}
    cpu, memory = f"process_cpu_seconds_total{{{JOB}}}", f"process_resident_memory_bytes{{{JOB}}}"
    labels = {**_labels(JOB), "component": "PROCESS", "source": "bot"}
    high, low = "SlotzeroCpuHigh", "SlotzeroMemoryHigh"
    return [
        Case("CPU at 91 %", high, {**info, cpu: _grows(30, 0.91 * STEP_S)}, (15, 20), (1, 8), labels),
        Case("CPU at 90 %", high, {**info, cpu: _grows(30, 0.90 * STEP_S)}, silent_at=(15, 20), kind="just below"),
        Case("CPU of another program", high, {cpu: _grows(30, STEP_S)}, silent_at=(5, 20), kind="too few"),
        Case(
            "CPU calms down",
            high,
            {**info, cpu: _grows(15, STEP_S, then_flat_minutes=45)},
            (14,),
            (40,),
            labels,
            kind="resolves",
        ),
        Case("memory at 801 MB", low, {**info, memory: _flat(30, 801e6)}, (6, 20), (3,), labels),
        Case("memory at 800 MB", low, {**info, memory: _flat(30, 800e6)}, silent_at=(6, 20), kind="just below"),
        Case("memory of another program", low, {memory: _flat(30, 9e9)}, silent_at=(6, 20), kind="too few"),
        Case(
            "memory is given back",
            low,
            {**info, memory: f"{_flat(15, 9e8)} {_flat(30, 1e8)}"},
            (14,),
            (30,),
            labels,
            kind="resolves",
        ),
    ]


# ---- the watch ----


def _watch_cases() -> list[Case]:
    job = _labels(JOB)
    up, frames = f"up{{{JOB}}}", f"bot_feed_frames_total{{{JOB}}}"
    broken = f'bot_invariant_violations{{{JOB}, kind="lost_intent"}}'
    one, two = f'bot_endpoint_up{{{JOB}, endpoint="a"}}', f'bot_endpoint_up{{{JOB}, endpoint="b"}}'
    drift = f'bot_drift_total{{{JOB}, kind="malformed_event"}}'
    run = f'benchmark_last_run_timestamp_seconds{{{JOB}, component="EXECUTION"}}'
    stale = {"job": "slotzero", "component": "EXECUTION"}
    days = 2 * 24 * 6  # in steps of 10 minutes, as this alert is tested
    return [
        Case("a scrape fails", "SlotzeroDown", {up: _flat(10, 0)}, (3, 10), (0.5,), job),
        Case("scrapes succeed", "SlotzeroDown", {up: _flat(10, 1)}, silent_at=(3, 10), kind="just below"),
        Case(
            "scrapes succeed again",
            "SlotzeroDown",
            {up: f"{_flat(5, 0)} {_flat(5, 1)}"},
            (4,),
            (7,),
            job,
            kind="resolves",
        ),
        Case(
            "another job's scrape fails",
            "SlotzeroDown",
            {'up{job="node"}': _flat(10, 0)},
            silent_at=(5,),
            kind="too few",
        ),
        Case("no scrape job", "SlotzeroAbsent", {}, (6, 10), (4,), {"job": "slotzero"}),
        Case("a scrape job that fails", "SlotzeroAbsent", {up: _flat(10, 0)}, silent_at=(6, 10), kind="just below"),
        Case(
            "the job comes back",
            "SlotzeroAbsent",
            {up: f"_x20 {_flat(10, 1)}"},
            (8,),
            (12,),
            {"job": "slotzero"},
            kind="resolves",
        ),
        Case("no frame", "SlotzeroFeedSilent", {frames: _flat(10, 5)}, (4, 10), (0.0,), job),
        Case(
            "a frame a minute",
            "SlotzeroFeedSilent",
            {frames: "0x1 1x1 2x1 3x1 4x1 5x1 6x1 7x1"},
            silent_at=(4, 7),
            kind="just below",
        ),
        Case(
            "frames again",
            "SlotzeroFeedSilent",
            {frames: f"{_flat(6, 5)} {_grows(10, 3, 6)}"},
            (5,),
            (12,),
            job,
            kind="resolves",
        ),
        Case(
            "a lost intent",
            "SlotzeroInvariantViolated",
            {broken: _flat(10, 1)},
            (3,),
            (0.5,),
            {**job, "kind": "lost_intent"},
        ),
        Case(
            "no lost intent", "SlotzeroInvariantViolated", {broken: _flat(10, 0)}, silent_at=(3, 10), kind="just below"
        ),
        Case(
            "found again",
            "SlotzeroInvariantViolated",
            {broken: f"{_flat(5, 1)} {_flat(5, 0)}"},
            (4,),
            (7,),
            {**job, "kind": "lost_intent"},
            kind="resolves",
        ),
        Case("both endpoints down", "SlotzeroEndpointsDown", {one: _flat(10, 0), two: _flat(10, 0)}, (2,), (0.0,), job),
        Case(
            "one endpoint down",
            "SlotzeroEndpointsDown",
            {one: _flat(10, 0), two: _flat(10, 1)},
            silent_at=(2, 10),
            kind="just below",
        ),
        Case(
            "an endpoint is back",
            "SlotzeroEndpointsDown",
            {one: f"{_flat(5, 0)} {_flat(10, 1)}", two: _flat(15, 0)},
            (4,),
            (8,),
            job,
            kind="resolves",
        ),
        Case(
            "events malformed",
            "SlotzeroVenueDrift",
            {drift: _grows(30, 0.4)},
            (20, 30),
            (1,),
            {**job, "kind": "malformed_event"},
        ),
        Case(
            "five malformed",
            "SlotzeroVenueDrift",
            {drift: f"{_grows(1, 2)} {_flat(29, 4)}"},
            silent_at=(5, 20),
            kind="just below",
        ),
        Case(
            "drift ends",
            "SlotzeroVenueDrift",
            {drift: _grows(20, 0.4, then_flat_minutes=40)},
            (20,),
            (50,),
            {**job, "kind": "malformed_event"},
            kind="resolves",
        ),
        Case(
            "no run for two days",
            "SlotzeroBenchmarkStale",
            {run: f"0x{days + 12}"},
            (10 * days + 30,),
            (10 * days - 10,),
            stale,
        ),
        Case(
            "no run for two days, by a process that has ended",
            "SlotzeroBenchmarkStale",
            {run: "0x3"},
            (10 * days + 30,),
            (10 * days - 10,),
            stale,
        ),
        Case(
            "a run within two days",
            "SlotzeroBenchmarkStale",
            {run: f"0x{days}"},
            silent_at=(10 * days,),
            kind="just below",
        ),
        Case(
            "a run at last",
            "SlotzeroBenchmarkStale",
            {run: f"0x{days + 3} {(days + 3) * 600}x6"},
            (10 * days + 20,),
            (10 * days + 50,),
            stale,
            kind="resolves",
        ),
        Case("always", "SlotzeroWatchdog", {}, (0, 5), labels={}),
    ]


# ---- error budgets ----

_MINUTES = {"5m": 5, "30m": 30, "1h": 60, "2h": 120, "6h": 360, "1d": 1_440, "3d": 4_320}
_SAMPLED_EACH = {"1h": 1, "6h": 5, "1d": 15, "3d": 30}
"""Minutes; the short window of a pair still spans several."""


def _burn_cases() -> list[Case]:
    """Each pair on each objective; the series are sampled each minute here, since windows are days."""
    cases: list[Case] = []
    for slo in SLOS:
        for pair in PAIRS:
            if not admissible(slo, pair):
                continue
            allowed = pair.factor * (1 - slo.objective)
            long, each = _MINUTES[pair.long], _SAMPLED_EACH[pair.long]
            minutes, end = long + 60, 2 * long + 60
            labels = {**_labels(JOB), "slo": slo.name, "long_window": pair.long, "severity": pair.severity}
            bad = _slo_series(slo.name, min(1.0, allowed * 1.05), minutes, each)
            below = _slo_series(slo.name, allowed * 0.99, minutes, each)
            few = _slo_series(slo.name, 1.0, minutes, each, rate=5 / long)
            healed = _then(bad, _slo_series(slo.name, 0, long, each))
            name, alert = f"{slo.name} {pair.long}", "SlotzeroErrorBudgetBurn"
            cases += [
                Case(f"{name} burns", alert, bad, (minutes,), (0,), labels),
                Case(f"{name} just below", alert, below, (), (minutes,), labels, "just below"),
                Case(f"{name} too few", alert, few, (), (minutes,), labels, "too few"),
                Case(f"{name} resolves", alert, healed, (minutes,), (end,), labels, "resolves"),
            ]
    return cases


def _slo_series(name: str, bad: float, minutes: int, each: int, rate: float = 4) -> dict[str, str]:
    def grows(per_minute: float) -> str:
        return f"0+{per_minute * each:.12g}x{minutes // each}"

    if name == "buy-success":
        return {
            f'bot_snipes_total{{{JOB}, outcome="bought"}}': grows(rate * (1 - bad)),
            f'bot_snipes_total{{{JOB}, outcome="failed"}}': grows(rate * bad),
        }
    component, le = {
        "detection-latency": ("DETECTION", "0.5"),
        "honeypot-latency": ("HONEYPOT", "2.0"),
        "execution-latency": ("EXECUTION", "1.5"),
        "full-flow-latency": ("FULL_FLOW", "4.0"),
    }[name]
    chosen = f'{JOB}, component="{component}"'
    return {
        f'bot_stage_duration_seconds_bucket{{{chosen}, le="{le}"}}': grows(rate * (1 - bad)),
        f"bot_stage_duration_seconds_count{{{chosen}}}": grows(rate),
    }


ALERTS = [
    *_latency_cases("SlotzeroExecutionSlow", "EXECUTION", (2_000.0, 2_500.0, 3_000.0), 3),
    *_latency_cases("SlotzeroFullFlowSlow", "FULL_FLOW", (5_000.0, 6_000.0, 7_500.0), 3),
    *_latency_cases("SlotzeroDetectionSlow", "DETECTION", (750.0, 1_000.0, 1_500.0), 6),
    *_latency_cases("SlotzeroHoneypotSlow", "HONEYPOT", (2_500.0, 3_000.0, 4_000.0), 6),
    *_success_cases(),
    *_gauge_cases("SlotzeroCpuHigh", "benchmark_cpu_percent", 90),
    *_gauge_cases("SlotzeroMemoryHigh", "benchmark_memory_mb", 800),
    *_process_cases(),
    *_watch_cases(),
]
BURNS = _burn_cases()
_NEEDS_NO_DATA = {"SlotzeroAbsent", "SlotzeroWatchdog"}
"""They fire when there is nothing."""
_OF_THE_WHOLE_JOB = {"SlotzeroAbsent", "SlotzeroWatchdog", "SlotzeroBenchmarkStale"}
"""They do not tell instances apart."""


def names(groups: tuple[Group, ...]) -> list[str]:
    return list(dict.fromkeys(rule.name for group in groups for rule in group.rules if isinstance(rule, Alert)))


def all_cases() -> list[Case]:
    """Every case, with one on no data at all for each alert that has to stay silent then."""
    silent = [
        Case(f"{name} on no data", name, {}, silent_at=(0, 10, 60), kind="no data")
        for name in names((*alert_groups(), *slo_groups()))
        if name not in _NEEDS_NO_DATA
    ]
    return [*ALERTS, *BURNS, *silent]


def documents(alerts: str, slo: str) -> dict[str, dict[str, Any]]:
    """The files for `promtool test rules`, by name: by how fine a time they need.

    Cases that name an instance live side by side in one test, each as an instance of its own: promtool takes a third
    of a second to begin a test.

    Args:
        alerts: The rule file with the alerts.
        slo: The rule file with the error budgets.
    """
    cases = all_cases()
    budgets = set(names(slo_groups()))
    slow = {"SlotzeroBenchmarkStale"}
    found = {
        "alerts": _document(alerts, STEP_S, [case for case in cases if case.alert not in budgets | slow]),
        "stale": _document(alerts, 600, [case for case in cases if case.alert in slow]),
    }
    for pair in PAIRS:
        of_pair = [case for case in BURNS if case.labels["long_window"] == pair.long]
        sampled = 60 * _SAMPLED_EACH[pair.long]
        found[f"budgets-{pair.long}"] = _document(slo, sampled, of_pair, evaluated_each_s=2 * sampled)
    found["budgets-nothing"] = _document(
        slo, 300, [case for case in cases if case.alert in budgets and not case.series]
    )
    return found


def _document(rules: str, each_s: int, cases: list[Case], *, evaluated_each_s: int | None = None) -> dict[str, Any]:
    together = [case for case in cases if _is_one_of_many(case)]
    on_nothing = [case for case in cases if not case.series]
    alone = [case for case in cases if case.series and not _is_one_of_many(case)]
    own = [_as_instance(case, f"case-{number}") for number, case in enumerate(together)]
    tests = [_test(group, each_s) for group in (*([case] for case in alone), on_nothing, own) if group]
    return {"rule_files": [rules], "evaluation_interval": f"{evaluated_each_s or each_s}s", "tests": tests}


def _is_one_of_many(case: Case) -> bool:
    return bool(case.series) and all(JOB in name for name in case.series) and case.alert not in _OF_THE_WHOLE_JOB


def _as_instance(case: Case, instance: str) -> Case:
    series = {name.replace(INSTANCE, instance): values for name, values in case.series.items()}
    return replace(case, series=series, labels={**case.labels, "instance": instance})


def _test(cases: list[Case], step_s: int) -> dict[str, Any]:
    series = {name: values for case in cases for name, values in case.series.items()}
    return {
        "name": cases[0].name if len(cases) == 1 else f"{len(cases)} cases, each an instance",
        "interval": f"{step_s}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [question for case in cases for question in _questions(case)],
    }


def _questions(case: Case) -> list[dict[str, Any]]:
    """Ask the series ALERTS, so that labels are compared and the text of a summary is not."""
    chosen = {"alertname": case.alert, "alertstate": "firing", **case.labels}
    matchers = ", ".join(f'{name}="{value}"' for name, value in chosen.items())
    moments = [(at, True) for at in case.fires_at] + [(at, False) for at in case.silent_at]
    return [
        {
            # A case's name stands in the question, so that a failure tells which case it is.
            "expr": f"count(ALERTS{{{matchers}}}) # {case.name}",
            "eval_time": f"{int(at * 60)}s",
            "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
        }
        for at, fires in sorted(moments)
    ]
