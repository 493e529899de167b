"""What `slotzero dashboards export` writes: dashboards, provisioning, scrape configuration, rules, runbooks' links."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from slotzero.errors import UsageError
from slotzero.observe.alerts import JOB, alert_groups, measured_groups
from slotzero.observe.rules import Links, rule_file
from slotzero.observe.slo import slo_groups
from slotzero.observe.yaml_text import Yaml, as_yaml
from slotzero.perf.types import BenchmarkResult

__all__ = ["DASHBOARDS", "dashboard_path", "export", "exported"]

DASHBOARDS: Final = ("performance", "live")
_HERE: Final = Path(__file__).parent
_METRICS: Final = "127.0.0.1:9464"
_SCRAPE: Final = "15s"
_LINKS: Final = Links()


def dashboard_path(name: str) -> Path:
    """Return where a dashboard's JSON is packaged."""
    return _HERE / f"{name}.json"


def exported(
    *, links: Links = _LINKS, measured: Sequence[BenchmarkResult] = (), for_s: int | None = None
) -> dict[str, str]:
    """Return the text of every file by its path beneath the folder. *Does I/O* (reads the packaged dashboards).

    Args:
        links: Where the alerts' links lead.
        measured: Results to derive further limits from.
        for_s: Takes the place of every alert's own waiting, for a rehearsal.
    """
    files = {f"{name}.json": dashboard_path(name).read_text(encoding="utf-8") for name in DASHBOARDS}
    files |= {
        "provisioning/datasources/slotzero.yml": _datasource(),
        "provisioning/dashboards/slotzero.yml": _provider(),
        "prometheus/prometheus.yml": _prometheus(has_measured=bool(measured)),
        "prometheus/alerts.yml": rule_file(
            alert_groups(),
            links=links,
            for_s=for_s,
            comment="Seven alerts on required limits, and the watch beside them.",
        ),
        "prometheus/slo.yml": rule_file(
            slo_groups(), links=links, for_s=for_s, comment="Error budgets of the running bot and how fast they burn."
        ),
        "alertmanager/alertmanager.yml": _alertmanager(),
    }
    if measured:
        files["prometheus/measured.yml"] = rule_file(
            measured_groups(measured),
            links=links,
            for_s=for_s,
            comment="Limits from measured results: half above what p95 could have been, on the next bucket bound.",
        )
    return files


def export(folder: Path, files: dict[str, str]) -> None:
    """Write the files beneath a folder, replacing those of an earlier export. *Does I/O.*

    Raises:
        UsageError: The folder cannot be written.
    """
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}); name a folder that can") from error


def _datasource() -> str:
    source: dict[str, Yaml] = {
        "name": "Prometheus",
        "uid": "slotzero-prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://127.0.0.1:9090",
        "isDefault": True,
        "jsonData": {"timeInterval": _SCRAPE, "httpMethod": "POST"},
    }
    return as_yaml(
        {"apiVersion": 1, "datasources": [source]},
        comment="Grafana reads this at its start from its folder provisioning/datasources.",
    )


def _provider() -> str:
    provider: dict[str, Yaml] = {
        "name": "slotzero",
        "folder": "slotzero",
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "options": {"path": "/var/lib/grafana/dashboards/slotzero"},
    }
    return as_yaml(
        {"apiVersion": 1, "providers": [provider]},
        comment="Grafana reads this from provisioning/dashboards; performance.json and live.json go into the path.",
    )


def _prometheus(*, has_measured: bool) -> str:
    rules: list[Yaml] = ["alerts.yml", "slo.yml"]
    if has_measured:
        rules.append("measured.yml")
    scrape: dict[str, Yaml] = {"job_name": JOB, "static_configs": [{"targets": [_METRICS]}]}
    manager: dict[str, Yaml] = {"static_configs": [{"targets": ["127.0.0.1:9093"]}]}
    return as_yaml(
        {
            "global": {"scrape_interval": _SCRAPE, "evaluation_interval": _SCRAPE},
            "rule_files": rules,
            "alerting": {"alertmanagers": [manager]},
            "scrape_configs": [scrape],
        },
        comment="The job's name is what the alerts look for.",
    )


def _alertmanager() -> str:
    critical: dict[str, Yaml] = {"matchers": ['severity="critical"'], "receiver": "page", "repeat_interval": "1h"}
    watchdog: dict[str, Yaml] = {
        "matchers": ['alertname="SlotzeroWatchdog"'],
        "receiver": "watchdog",
        "repeat_interval": "5m",
    }
    inhibited: dict[str, Yaml] = {
        "source_matchers": ['severity="critical"'],
        "target_matchers": ['severity="warning"'],
        "equal": ["job", "instance", "component"],
    }
    return as_yaml(
        {
            "route": {
                "receiver": "log",
                "group_by": ["alertname", "component"],
                "group_wait": "10s",
                "group_interval": "1m",
                "repeat_interval": "4h",
                "routes": [watchdog, critical],
            },
            "inhibit_rules": [inhibited],
            "receivers": [{"name": "log"}, {"name": "page"}, {"name": "watchdog"}],
        },
        comment=(
            "An example: give `page` a receiver that wakes somebody, `log` one that does not, and `watchdog` one that\n"
            "calls when it goes quiet. A warning is held back while the same component has something critical."
        ),
    )
