"""The rules: what is asked of the seven, what each must say, and promtool's word on every one of them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from monitoring_lab import needs_service
from observe_lab import benchmark
from promtool_cases import all_cases, documents, names
from slotzero.observe.alerts import alert_groups, measured_groups, measured_limit
from slotzero.observe.dashboards.files import DASHBOARDS
from slotzero.observe.rules import Alert, Group, Links, rule_file
from slotzero.observe.slo import PAIRS, SLOS, admissible, slo_groups
from slotzero.trace import Component

ROOT = Path(__file__).resolve().parents[3]
SEVEN = {
    "SlotzeroExecutionSlow": ('component="EXECUTION"', "> 2500", "critical"),
    "SlotzeroFullFlowSlow": ('component="FULL_FLOW"', "> 6000", "critical"),
    "SlotzeroSuccessLow": ("success", "< 70", "critical"),
    "SlotzeroCpuHigh": ("cpu", "> 90", "critical"),
    "SlotzeroDetectionSlow": ('component="DETECTION"', "> 1000", "warning"),
    "SlotzeroHoneypotSlow": ('component="HONEYPOT"', "> 3000", "warning"),
    "SlotzeroMemoryHigh": ("memory", "> 800", "warning"),
}
KINDS = {"fires", "just below", "no data", "resolves"}


def alerts(groups: tuple[Group, ...] = (*alert_groups(), *slo_groups())) -> list[Alert]:
    return [rule for group in groups for rule in group.rules if isinstance(rule, Alert)]


def text_of(groups: tuple[Group, ...], *, for_s: int | None = None) -> str:
    return rule_file(groups, links=Links(), comment="made by a test", for_s=for_s)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "alerts.yml").write_text(text_of(alert_groups()))
    (folder / "slo.yml").write_text(text_of(slo_groups()))
    (folder / "measured.yml").write_text(text_of(measured_groups([benchmark("EXECUTION", [200.0] * 100)])))
    return folder


def promtool(*arguments: str, cwd: Path) -> str:
    needs_service("promtool")
    done = subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    return done.stdout


def test_the_seven_have_their_literal_limits_and_severity() -> None:
    found = {alert.name: alert for alert in alerts()}
    for name, (what, limit, severity) in SEVEN.items():
        alert = found[name]
        assert what in alert.expr
        assert limit in alert.expr
        assert alert.severity == severity
        assert alert.for_s >= (120 if severity == "critical" else 300)
        assert alert.keep_s == 300


@pytest.mark.parametrize("name", names((*alert_groups(), *slo_groups())))
def test_alert_has_a_runbook_that_says_what_it_means_and_what_to_do(name: str) -> None:
    page = (ROOT / "docs" / "runbooks" / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    for heading in ("## What it means", "## Look first", "## What to do", "## When it is wrong"):
        assert heading in page, heading
    assert f"runbooks/{name}.md" in text_of((*alert_groups(), *slo_groups()))


def test_links_lead_where_they_are_told_to() -> None:
    links = Links(docs="https://example.org/d/", grafana="https://grafana.example.org/")
    text = rule_file(alert_groups(), links=links, comment="")
    assert "https://example.org/d/runbooks/SlotzeroDown.md" in text
    assert "https://grafana.example.org/d/slotzero-live" in text
    assert {"slotzero-live", "slotzero-performance"} == {f"slotzero-{name}" for name in DASHBOARDS}


def test_no_runbook_is_of_an_alert_that_does_not_exist() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"}
    assert pages == {*names((*alert_groups(), *slo_groups())), "SlotzeroSlowerThanMeasured"}


@pytest.mark.parametrize("name", names((*alert_groups(), *slo_groups())))
def test_alert_has_a_promtool_case_of_each_kind(name: str) -> None:
    kinds = {case.kind for case in all_cases() if case.alert == name}
    if name == "SlotzeroWatchdog":  # it fires always: that is its use
        assert kinds == {"fires"}
    elif name == "SlotzeroAbsent":  # no data is what it fires on
        assert kinds == KINDS - {"no data"}
    else:
        assert kinds >= KINDS


def test_every_burn_rate_that_is_shipped_can_be_reached() -> None:
    for alert in alerts(slo_groups()):
        factor, allowed = map(float, re.findall(r"> ([\d.]+) \* ([\d.]+)", alert.expr)[0])
        assert factor * allowed < 1, alert.expr
    assert not admissible(SLOS[-1], PAIRS[0]), "14.4 times 10 % is more than everything"
    assert len(alerts(slo_groups())) == 4 * len(SLOS) - 1


def test_rehearsal_file_waits_a_second_everywhere() -> None:
    text = text_of(alert_groups(), for_s=1)
    assert set(re.findall(r"(?:for|keep_firing_for): (\w+)", text)) == {"1s"}


def test_measured_limit_is_a_bound_half_above_what_was_measured() -> None:
    result = benchmark("EXECUTION", [float(value) for value in range(101, 301)])
    assert float(result.latency_ms.p95) == 290
    assert measured_limit(result) == 500  # 290 * 1.1 (its interval) * 1.5 = 478.5
    (group,) = measured_groups([result])
    (alert,) = (rule for rule in group.rules if isinstance(rule, Alert))
    assert 'component="EXECUTION"} > 500 ' in alert.expr


def test_measured_limit_beyond_every_bound_is_the_last_one() -> None:
    assert measured_limit(benchmark("WALLET_ROTATION", [90.0] * 50)) == 100


def test_measured_alerts_are_one_for_each_component_and_tell_it_by_a_label() -> None:
    fast, slow = benchmark("FILTERS", [0.1] * 50), benchmark("FILTERS", [0.4] * 50)
    (group,) = measured_groups([fast, slow, fast, benchmark("CACHE", [0.1] * 50)])
    found = [rule for rule in group.rules if isinstance(rule, Alert)]
    assert [alert.labels for alert in found] == [{"component": "FILTERS"}, {"component": "CACHE"}]
    assert f"> {measured_limit(slow):g} " in found[0].expr


@pytest.mark.parametrize(
    ("p95", "shown", "digits"),
    [(0.004238, "0.00424 ms", '"%.4f"'), (7.25, "7.25 ms", '"%.0f"'), (290.0, "290 ms", '"%.0f"')],
)
def test_summary_of_a_measured_alert_shows_figures_of_microseconds(p95: float, shown: str, digits: str) -> None:
    component = "FILTERS" if p95 < 1 else "EXECUTION"
    (group,) = measured_groups([benchmark(component, [p95] * 50)])
    (alert,) = (rule for rule in group.rules if isinstance(rule, Alert))
    assert f"measured were {shown}" in alert.summary
    assert digits in alert.summary


def test_promtool_accepts_the_limits_of_all_thirteen_components(tmp_path: Path) -> None:
    results = [benchmark(component.value, [0.1 + number] * 50) for number, component in enumerate(Component)]
    assert len(results) == 13
    (tmp_path / "measured.yml").write_text(text_of(measured_groups(results)))
    promtool("check", "rules", "--lint=all", "--lint-fatal", "measured.yml", cwd=tmp_path)


def test_promtool_finds_nothing_to_complain_about(rules: Path) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml", "slo.yml", "measured.yml", cwd=rules)


@pytest.mark.parametrize("name", list(documents("", "")))
def test_rules_fire_and_stay_silent_as_promtool_sees_them(name: str, rules: Path) -> None:
    file = rules / f"{name}.test.json"  # JSON is YAML
    file.write_text(json.dumps(documents("alerts.yml", "slo.yml")[name]))
    promtool("test", "rules", file.name, cwd=rules)


def test_promtool_notices_a_wrong_limit(rules: Path, tmp_path: Path) -> None:
    """The cases are worth something: with one limit moved they fail."""
    needs_service("promtool")
    shutil.copy(rules / "slo.yml", tmp_path)
    (tmp_path / "alerts.yml").write_text((rules / "alerts.yml").read_text().replace("> 2500", "> 3000"))
    document = documents("alerts.yml", "slo.yml")["alerts"]
    document["tests"] = document["tests"][-1:]
    (tmp_path / "moved.json").write_text(json.dumps(document))
    done = subprocess.run(
        ["promtool", "test", "rules", "moved.json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "SlotzeroExecutionSlow" in done.stdout + done.stderr
