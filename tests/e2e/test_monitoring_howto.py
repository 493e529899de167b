"""docs/how-to/monitoring.md stays true: its commands and its program are run, its tables are compared."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from monitoring_lab import Api, free_port, needs_service, wait_for
from observe_lab import benchmark
from promtool_cases import names
from slotzero.observe.alerts import REQUIRED, alert_groups
from slotzero.observe.catalogue import BotMetrics, LabMetrics
from slotzero.observe.metrics import Registry
from slotzero.observe.rules import Alert
from slotzero.observe.slo import slo_groups
from slotzero.perf.environment import passport
from slotzero.perf.result_file import benchmark_document, encode_document
from slotzero.trace import Component

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "monitoring.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line]
NEEDS_ROOT = ("sudo apt-get install ", "sudo cp ", "sudo install ", "sudo systemctl ")


def _results(folder: Path) -> None:
    """The result files the page speaks of: two versions, hours ago."""
    for name, hours, factor in (("old", 4, 1.0), ("new", 2, 1.2)):
        ts_ms = int((time.time() - hours * 3_600) * 1_000)  # noqa: TID251 history is in the past
        environment = msgspec.structs.replace(passport(), ts_ms=ts_ms, extra={"revision": name * 4})
        results = [benchmark(one.value, [factor * value for value in range(20, 60)]) for one in Component]
        data = encode_document(benchmark_document(results, environment))
        (folder / f"{name}.json").write_bytes(data)
        (folder / "result.json").write_bytes(data)


def test_commands_of_the_page_work_in_their_order(tmp_path: Path) -> None:
    for program in ("promtool", "amtool", "prometheus", "prometheus-alertmanager"):
        needs_service(program)
    _results(tmp_path)
    ports = {"9090": str(free_port()), "9093": str(free_port()), "9464": str(free_port())}
    services: list[subprocess.Popen[bytes]] = []
    try:
        for line in COMMANDS:
            if line.startswith("sudo "):
                assert line.startswith(NEEDS_ROOT), line
                continue
            for port, free in ports.items():
                line = line.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")  # noqa: PLW2901 the same line elsewhere
            if line.endswith(" &"):
                services.append(
                    subprocess.Popen(shlex.split(line.removesuffix(" &")), cwd=tmp_path, stderr=subprocess.DEVNULL)
                )
                address = re.findall(r"--web.listen-address=(\S+)", line)[0]
                wait_for(Api(f"http://{address}").ready, line)
                continue
            words = shlex.split(line)
            command = [sys.executable, "-m", "slotzero", *words[1:]] if words[0] == "slotzero" else words
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            if line.startswith("slotzero dashboards export"):
                config = tmp_path / "monitoring" / "prometheus" / "prometheus.yml"
                text = config.read_text()
                for port, free in ports.items():
                    text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
                config.write_text(text)
        assert all(service.poll() is None for service in services)
    finally:
        for service in services:
            service.terminate()
        for service in services:
            service.wait(timeout=30)
    blocks = [path for path in (tmp_path / "monitoring" / "prometheus-data").iterdir() if (path / "meta.json").exists()]
    assert len(blocks) >= 2


def test_program_of_the_page_serves_what_it_measures() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    text = program.replace("port=9464", "port=0") + (
        "    from urllib.request import urlopen\n    print(urlopen(server.url).read().decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 'benchmark_duration_ms_count{component="parse"} 200' in done.stdout


def test_alerts_of_the_page_are_those_that_are_shipped() -> None:
    shipped = set(names((*alert_groups(), *slo_groups())))
    assert set(re.findall(r"\bSlotzero[A-Z]\w+", PAGE)) == shipped
    for limit in REQUIRED:
        (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {limit.name} |"))
        assert f"{limit.limit:,.0f}" in row
        assert f"| {limit.severity} |" in row
        (alert,) = (
            rule
            for group in alert_groups()
            for rule in group.rules
            if isinstance(rule, Alert) and rule.name == limit.name
        )
        assert f"| {alert.for_s // 60} min |" in row


def test_metrics_of_the_page_exist() -> None:
    registry = Registry()
    LabMetrics(registry)
    BotMetrics(registry)
    exist = {family.name for family in registry.families()}
    assert set(re.findall(r"\b(?:bot|benchmark|load_test)_[a-z_]+\b", PAGE)) <= exist


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE))))
def test_link_of_the_page_leads_somewhere(link: str) -> None:
    assert not urlsplit(link).netloc
    assert (ROOT / "docs" / "how-to" / link).exists()
