"""`slotzero run --serve`: page, metrics, log and traces of one short run, as a user starts it."""

import json
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from bot_process import finish, start_bot


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, within_s: float = 40) -> str:
    """Ask until there is an answer."""
    deadline = time.monotonic() + within_s  # noqa: TID251 a test waits for another process
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, f"{url} does not answer"  # noqa: TID251
            time.sleep(0.1)


def test_run_with_a_page_ends_with_it_and_leaves_log_and_traces(tmp_path: Path) -> None:
    port = free_port()
    log, traces = tmp_path / "log.ndjson", tmp_path / "traces.ndjson"
    arguments = ("--until-closed", "2", "--seed", "7", "--json", "--serve", "--port", str(port))
    bot = start_bot(*arguments, "--log-file", str(log), "--trace-file", str(traces), state=tmp_path)
    try:
        base = f"http://127.0.0.1:{port}"
        ready = json.loads(ask(f"{base}/readyz"))
        scraped = {family.name for family in text_string_to_metric_families(ask(f"{base}/metrics"))}
        page = ask(base)
    finally:
        code, out, err = finish(bot)
    assert code == 0, err
    assert ready["bot"] == bot.pid
    assert "bot_snipes" in scraped
    assert "<main" in page
    document = json.loads(out)
    token = err.rpartition(": ")[2].strip().splitlines()[0]
    assert f"page and API: {base}/" in err
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the page outlived the run"

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    bought = {line["mint"]: line["trace_id"] for line in lines if line["message"].startswith("bought")}
    assert len(bought) == document["snipes"]["bought"]
    roots: dict[str, set[tuple[str, str]]] = {}
    for line in traces.read_text().splitlines():
        Parse(line, ExportTraceServiceRequest())
        span = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        mint = next(one["value"]["stringValue"] for one in span["attributes"] if one["key"] == "slotzero.mint")
        roots.setdefault(mint, set()).add((span["traceId"], span["name"]))
    for mint, trace_id in bought.items():
        assert roots[mint] == {(trace_id, "snipe"), (trace_id, "exit")}
    for path in (log, traces):
        assert token not in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600


def test_port_that_is_taken_ends_the_run_before_it_trades(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = finish(start_bot("--serve", "--port", str(port), "--for", "30", state=tmp_path))
    assert code == 2
    assert out == ""
    assert "name another port" in err
    assert not (tmp_path / "slotzero" / "localnet").exists()
