"""The whole path with the real Prometheus and Alertmanager on loopback: a bot and a lab scraped, every panel's query
answered with the labels its legend names, the seven alerts seen in Alertmanager, and past results as history.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from typer.testing import CliRunner

from dashboard_reading import PanelQuery, panel_queries
from monitoring_lab import Api, needs_service, running_alertmanager, running_prometheus, wait_for
from observe_lab import TARGETS, benchmark, busy_bot, busy_bot_again, finished, load, progress
from slotzero.cli.main import app
from slotzero.clock import SystemClock
from slotzero.observe.dashboards.files import export, exported
from slotzero.observe.exporter import MetricsServer
from slotzero.observe.lab import LabFeed
from slotzero.observe.metrics import Registry
from slotzero.perf.environment import passport
from slotzero.perf.result_file import ResultDocument, benchmark_document, encode_document
from slotzero.trace import Component

TESTS = Path(__file__).resolve().parents[1]
SEVEN = {
    "SlotzeroExecutionSlow": "critical",
    "SlotzeroFullFlowSlow": "critical",
    "SlotzeroSuccessLow": "critical",
    "SlotzeroCpuHigh": "critical",
    "SlotzeroDetectionSlow": "warning",
    "SlotzeroHoneypotSlow": "warning",
    "SlotzeroMemoryHigh": "warning",
}
OF_THE_REAL_BOT = {
    "Stage p95",
    "Own time per operation",
    "Pools by outcome",
    "Positions and snipes under way",
    "Wallet",
    "Invariants broken",
    "Frames",
    "Endpoint latency",
    "Endpoints in use",
    "Calls by endpoint",
    "RPC calls by purpose",
    "Event loop delay",
    "CPU",
    "Memory",
    "Open files",
    "Runs since",
}
"""Panels that a healthy bot fills by itself within seconds; the others need rivals, faults or several feeds."""


class World:
    """What is scraped, and who scrapes it."""

    def __init__(self, prometheus: Api, alertmanager: Api, lab: LabFeed, bot: str) -> None:
        self.prometheus = prometheus
        self.alertmanager = alertmanager
        self.lab = lab
        self.bot = bot

    def fall_ill(self) -> None:
        """Measure what warrants each of the seven alerts."""
        slow = {"EXECUTION": 2_600.0, "FULL_FLOW": 6_500.0, "DETECTION": 1_100.0, "HONEYPOT": 3_500.0}
        for component in Component:
            name = component.value
            result = benchmark(name, [slow.get(name, 5.0)] * 60, errors={"TimeoutError": 1})
            self.lab.on_benchmark(finished(result))
        failing = benchmark("EXIT", [200.0] * 60, errors={"TimeoutError": 90}, rss_mb=900.0, cpu_percent=95.0)
        self.lab.on_benchmark(finished(failing))
        self.lab.on_load_progress("HEAVY", progress(in_flight=100, ops=300, errors=2))


@pytest.fixture(scope="module")
def bot() -> Iterator[str]:
    """A real bot on an embedded chain, in a process of its own; gives host and port of its metrics."""
    command = [sys.executable, str(TESTS / "watched_bot.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield urlsplit(process.stdout.readline()).netloc
        finally:
            process.stdin.close()
            assert process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def world(bot: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    lab_registry, busy_registry = Registry(), Registry()
    lab = LabFeed(lab_registry, targets=TARGETS, clock=SystemClock())
    lab.expect(components=[component.value for component in Component], scenarios=["HEAVY"])
    busy = busy_bot(busy_registry)
    with (
        MetricsServer(lab_registry) as lab_server,
        MetricsServer(busy_registry) as busy_server,
        running_alertmanager(_alertmanager(folder), folder / "am") as alertmanager,
    ):
        targets = [urlsplit(lab_server.url).netloc, urlsplit(busy_server.url).netloc, bot]
        config = _prometheus(folder, targets, urlsplit(alertmanager.url).netloc)
        with running_prometheus(config, folder / "data") as prometheus:
            wait_for(lambda: len(prometheus.query("up == 1")) == len(targets), "all targets to be scraped")
            made = World(prometheus, alertmanager, lab, bot)
            made.fall_ill()
            busy_bot_again(busy, times=2)
            yield made


def _alertmanager(folder: Path) -> Path:
    export(folder, exported(for_s=1))
    return folder / "alertmanager" / "alertmanager.yml"


def _prometheus(folder: Path, targets: list[str], alertmanager: str) -> Path:
    """The shipped configuration at a second's pace, with these addresses."""
    path = folder / "prometheus" / "prometheus.yml"
    text = path.read_text().replace("15s", "1s").replace("127.0.0.1:9093", alertmanager)
    (line,) = (line for line in text.splitlines() if "127.0.0.1:9464" in line)
    text = text.replace(line, "\n".join(line.replace("127.0.0.1:9464", target) for target in targets))
    path.write_text(text)
    return path


def firing(alertmanager: Api) -> dict[str, dict[str, Any]]:
    return {alert["labels"]["alertname"]: alert for alert in alertmanager.get("/api/v2/alerts", active="true")}


def test_each_of_the_seven_alerts_arrives_in_alertmanager_from_data_that_warrants_it(world: World) -> None:
    def missing() -> list[str]:
        return sorted({*SEVEN, "SlotzeroWatchdog"} - set(firing(world.alertmanager)))

    wait_for(lambda: not missing(), "the seven alerts", within_s=40, last=missing)
    found = firing(world.alertmanager)
    for name, severity in SEVEN.items():
        alert = found[name]
        assert alert["labels"]["severity"] == severity
        assert alert["labels"]["source"] == "lab"
        assert any(digit.isdigit() for digit in alert["annotations"]["summary"])
        assert "{{" not in alert["annotations"]["summary"]
        assert "error" not in alert["annotations"]["summary"].lower(), "a template that failed says so in its text"
        assert alert["annotations"]["dashboard_url"] == "http://127.0.0.1:3000/d/slotzero-performance"
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    assert "SlotzeroDown" not in found


def test_rules_are_all_evaluated_without_an_error(world: World) -> None:
    groups = world.prometheus.get("/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 70
    wait_for(
        lambda: all(
            rule["health"] == "ok"
            for group in world.prometheus.get("/api/v1/rules")["data"]["groups"]
            for rule in group["rules"]
        ),
        "every rule's first evaluation",
    )


def test_every_panel_answers_on_live_data_with_the_labels_its_legend_names(world: World) -> None:
    def unanswered() -> list[str]:
        return [problem for query in panel_queries() if (problem := _problem(world.prometheus, query, span="2m"))]

    wait_for(lambda: not unanswered(), "all panels", within_s=20, last=unanswered)


def test_real_bot_fills_its_panels(world: World) -> None:
    def unanswered() -> list[str]:
        queries = (query for query in panel_queries("live") if query.panel in OF_THE_REAL_BOT and query.ref == "A")
        problems = (_problem(world.prometheus, query, span="2m", instance=world.bot) for query in queries)
        return [problem for problem in problems if problem]

    wait_for(lambda: not unanswered(), "the bot's panels", within_s=30, last=unanswered)


def _problem(
    prometheus: Api, query: PanelQuery, *, span: str, window: str = "30s", at: float | None = None, instance: str = ".*"
) -> str | None:
    asked = query.asked(window=window, span=span, instance=instance)
    found = prometheus.query(asked, at)
    if not found:
        return f"{query.panel} {query.ref}: no data for {asked}"
    for sample in found:
        if missing := query.legend_labels - set(sample["metric"]):
            return f"{query.panel} {query.ref}: {missing} missing in {sample['metric']}"
    return None


# ---- history ---------------------------------------------------------------------------------------------------------


def _stored(folder: Path, revision: str, ts_s: int, factor: float) -> list[Path]:
    """A benchmark's and a load test's result file of one version."""
    environment = msgspec.structs.replace(passport(), ts_ms=ts_s * 1_000, extra={"revision": revision})
    later = msgspec.structs.replace(environment, ts_ms=(ts_s + 900) * 1_000)
    results = [
        benchmark(component.value, [factor * value / 10 for value in range(50, 150)], errors={"TimeoutError": 2})
        for component in Component
    ]
    loaded = ResultDocument(
        kind="load",
        environment=later,
        other=(msgspec.Raw(msgspec.json.encode(load([factor * 700.0] * 400, {"timeout": 4}))),),
    )
    paths = [folder / f"{revision}.json", folder / f"{revision}-load.json"]
    paths[0].write_bytes(encode_document(benchmark_document(results, environment)))
    paths[1].write_bytes(encode_document(loaded))
    return paths


def test_pair_of_stored_versions_shows_in_every_panel_of_performance(tmp_path: Path) -> None:
    needs_service("promtool")
    now = int(time.time()) - 6 * 3_600  # noqa: TID251 history is in the past
    files = [*_stored(tmp_path, "aaaaaaaa", now, 1.0), *_stored(tmp_path, "bbbbbbbb", now + 3_600, 1.5)]
    done = CliRunner().invoke(app, ["dashboards", "backfill", *map(str, files), "--out", str(tmp_path / "history.om")])
    assert done.exit_code == 0, done.output
    create = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history.om", "data"]
    made = subprocess.run(create, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {}\n")
    with running_prometheus(config, tmp_path / "data") as prometheus:
        for version, start in (("aaaaaaaa", now), ("bbbbbbbb", now + 3_600)):
            for query in panel_queries("performance"):
                is_load = query.panel.startswith("Load-test")
                at = start + 30 + (900 if is_load else 0)
                problem = _problem(prometheus, query, window="1m", span="2h", at=at, instance=f".*@{version}")
                assert problem is None, problem
        p95 = (query for query in panel_queries("performance") if query.panel == "Compliance with targets")
        asked = next(p95).asked(window="1m", span="5h", component="EXIT")
        both = {
            sample["metric"]["instance"].split("@")[1]: float(sample["value"][1])
            for sample in prometheus.query(asked, now + 4_000)
        }
    assert set(both) == {"aaaaaaaa", "bbbbbbbb"}
    assert both["bbbbbbbb"] > both["aaaaaaaa"]
