"""Log lines, files and the collector: what leaves the process, and that no secret does."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from slotzero.clock import SystemClock
from slotzero.control.feed_records import LogLine
from slotzero.errors import UsageError
from slotzero.hook import PositionEnded, SnipeDecided
from slotzero.observe import telling
from slotzero.observe.line_writer import LineWriter
from slotzero.observe.logs import RecordHandler, TerminalFormatter, line_of_event, log_file_line
from slotzero.observe.otlp_export import OtlpExporter
from slotzero.observe.telling import TellRequest, told
from slotzero.secret import Secret
from slotzero.trace import Trace
from slotzero.tracing import trace_id_of
from slotzero.units import LamportsDelta
from web_lab import MINT, bought


@contextmanager
def logged(lines: list[LogLine]) -> Iterator[logging.Logger]:
    logger, handler = logging.getLogger("slotzero.of_a_test"), RecordHandler(SystemClock(), lines.append)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)


async def test_line_within_a_snipes_task_has_its_trace_id() -> None:
    lines: list[LogLine] = []
    with logged(lines) as logger:

        async def work() -> None:
            logger.warning("within")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(work(), name=f"snipe {MINT}")
        logger.info("outside of %s", "it")
    assert [(line.message, line.mint, line.trace_id) for line in lines] == [
        ("within", MINT, trace_id_of(MINT)),
        ("outside of it", "", ""),
    ]


def test_line_outside_of_a_loop_has_none() -> None:
    lines: list[LogLine] = []
    with logged(lines) as logger:
        logger.error("no loop")
    assert (lines[0].level, lines[0].trace_id) == ("error", "")


def test_secret_is_never_written() -> None:
    lines: list[LogLine] = []
    with logged(lines) as logger:
        logger.warning("the key is %s, %r", Secret("hunter2"), Secret("hunter2"), extra={"key": Secret("hunter2")})
    assert b"hunter2" not in log_file_line(lines[0])
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("hunter2"))


def test_what_failed_is_named_and_long_lines_are_cut() -> None:
    lines: list[LogLine] = []
    with logged(lines) as logger:
        try:
            int("why")
        except ValueError:
            logger.exception("it failed")
        logger.info("x" * 100_000)
    assert lines[0].message.startswith("it failed (ValueError: invalid literal")
    assert len(lines[1].message) == 2_000


def test_line_that_no_encoder_takes_is_made_fit_for_one() -> None:
    lines: list[LogLine] = []
    text = b"/tmp/\xff".decode(errors="surrogateescape")
    record = logging.makeLogRecord({"msg": "no file %s", "args": (text,), "levelno": logging.WARNING})
    RecordHandler(SystemClock(), lines.append).handle(
        record
    )  # alone: what pytest captures is sent between its processes
    assert msgspec.json.decode(log_file_line(lines[0]))["message"] == "no file /tmp/\\udcff"


def test_terminal_gets_nothing_it_acts_on() -> None:
    text = "the node says \x1b]0;title\x07 \x9b2J \u202egnorw\r and\nmore"
    record = logging.makeLogRecord({"msg": "%s", "args": (text,)})
    assert TerminalFormatter().format(record) == "the node says ?]0;title? ?2J ?gnorw? and\nmore"


def test_line_feeds_do_not_make_lines() -> None:
    lines: list[LogLine] = []
    with logged(lines) as logger:
        logger.info("one\n{}")
    assert b"\n" not in log_file_line(lines[0])


def test_events_are_lines_by_their_outcome() -> None:
    trace = Trace()
    told = [
        line_of_event(SnipeDecided(id=MINT, outcome="bought", reason="", trace=trace, slots_to_land=2), 1),
        line_of_event(SnipeDecided(id=MINT, outcome="refused", reason="rug", trace=trace), 1),
        line_of_event(SnipeDecided(id=MINT, outcome="failed", reason="expired", trace=trace), 1),
        line_of_event(
            PositionEnded(id=MINT, reason="stop", is_stuck=False, pnl_lamports=LamportsDelta(-5), trace=trace), 1
        ),
        line_of_event(
            PositionEnded(id=MINT, reason="frozen", is_stuck=True, pnl_lamports=LamportsDelta(0), trace=trace), 1
        ),
    ]
    assert [line and line.level for line in told] == ["info", "debug", "warning", "info", "error"]


def test_writer_appends_every_line_before_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "lines.ndjson"
    path.write_bytes(b"before\n")
    with LineWriter(path, _decimal) as writer:
        for number in range(3_000):
            writer.put(number)
    assert path.read_bytes().split(b"\n")[:-1] == [b"before", *(b"%d" % number for number in range(3_000))]


def _decimal(number: int) -> bytes:
    return b"%d" % number


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_full_disk_is_told_with_what_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    with LineWriter(Path("/dev/full"), _decimal) as writer:
        for number in range(300):
            writer.put(number)
    first, last = caplog.messages
    assert first.startswith("/dev/full cannot be written: No space left on device; nothing more")
    assert last == "/dev/full: 300 lines are not in it"


def test_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    with LineWriter(tmp_path / "new", bytes):
        pass
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_writer_says_where_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"), LineWriter(tmp_path / "no" / "file", bytes):
        pass


class Collector(BaseHTTPRequestHandler):
    """Keeps what it is sent; is busy as often as it is told to be."""

    bodies: list[bytes] = []  # noqa: RUF012 of the class on purpose
    answers: list[int] = []  # noqa: RUF012 likewise

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            assert self.path in {"/v1/traces", "/v1/traces?key=1"}
            assert self.headers["Content-Type"] == "application/json"
            self.bodies.append(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its name in the standard library
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[str]:
    Collector.bodies, Collector.answers = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_collector_gets_every_trace_in_batches(collector: str) -> None:
    with OtlpExporter(collector) as exporter:
        for _ in range(300):
            exporter.put(bought())
    assert (exporter.sent, exporter.dropped, len(Collector.bodies)) == (300, 0, 2)
    spans = 0
    for body in Collector.bodies:
        request = Parse(body, ExportTraceServiceRequest())
        spans += len(request.resource_spans[0].scope_spans[0].spans)
    assert spans == 300 * 10


def test_busy_collector_is_asked_again_and_nothing_is_lost(collector: str) -> None:
    Collector.answers = [503]
    exporter = OtlpExporter(collector)
    exporter.put(bought())
    assert not exporter._send_waiting()
    assert exporter._send_waiting()
    assert (exporter.sent, exporter.dropped) == (1, 0)


def test_refused_traces_are_counted_and_not_sent_again(collector: str) -> None:
    Collector.answers = [400]
    exporter = OtlpExporter(collector)
    exporter.put(bought())
    assert exporter._send_waiting()
    assert (exporter.refused, len(Collector.bodies)) == (1, 0)


@pytest.mark.parametrize(
    ("answers", "said"),
    [([503, 503], "it answers 503); it is asked again, and the newest 2,048 are kept"), ([404, 400], "is lost")],
)
def test_first_failure_alone_is_warned_of(
    collector: str, answers: list[int], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    Collector.answers = list(answers)
    exporter = OtlpExporter(collector.replace("//", "//user:hunter2@"))
    for _ in range(3):
        exporter.put(bought())
        exporter._send_waiting()
    (warning,) = caplog.messages
    assert warning.startswith(f"--otlp: the collector at {collector} does not take traces (it answers {answers[0]}); ")
    assert said in warning


def test_collector_that_is_not_there_is_warned_of_and_its_traces_are_told_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with OtlpExporter("http://127.0.0.1:9") as exporter:
        for _ in range(3):
            exporter.put(bought())
    assert exporter.summary == "traces: sent 0, lost 3"
    (warning,) = caplog.messages
    assert "http://127.0.0.1:9 does not take traces (Connection refused); it is asked again" in warning


async def test_run_ends_with_what_became_of_its_traces(collector: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "of_event", lambda *_: bought())
    said: list[str] = []
    request = TellRequest(otlp=collector)
    async with told(request, cluster="localnet", slot_ms=200, report=lambda **_: None, say=said.append) as hook:
        hook(SnipeDecided(id=MINT, outcome="refused", reason="rug", trace=Trace()))
        await asyncio.sleep(0)  # what drains the events begins; when it is ended it takes what waits
        assert said == []
    assert said == ["traces: sent 1, lost 0"]


async def test_run_without_a_collector_says_nothing_of_traces() -> None:
    said: list[str] = []
    async with told(TellRequest(), cluster="localnet", slot_ms=200, report=lambda **_: None, say=said.append):
        pass
    assert said == []


def test_absent_collector_loses_the_oldest_only() -> None:
    exporter = OtlpExporter("http://127.0.0.1:9")
    for _ in range(2_050):
        exporter.put(bought())
    assert not exporter._send_waiting()
    assert (exporter.dropped, len(exporter._waiting)) == (2, 2_048)


def test_key_in_the_query_reaches_the_collector(collector: str) -> None:
    with OtlpExporter(f"{collector}/v1/traces?key=1") as exporter:
        exporter.put(bought())
    assert exporter.sent == 1


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1:4318", "ftp://127.0.0.1", "", "http://", "unix:/x", "http://[::1", "http://127.0.0.1:99999"),
        *("http://a..b:4318", f"http://{'a' * 64}.x", "http://127.0.0.1/v1 x", "http://127.0.0.1/\u00e9"),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--otlp"):
        OtlpExporter(address)
