import json
from itertools import pairwise

import msgspec
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from slotzero.hook import PoolSeen, SnipeDecided
from slotzero.trace import Trace
from slotzero.tracing import of_event, otlp_line, otlp_request, perfetto_file, trace_id_of
from slotzero.units import DurationNs
from web_lab import ANCHOR, MINT, MS, bought, bought_trace, closed, closed_trace


def test_stages_cover_the_line_without_gaps() -> None:
    stages = [stage for stage in closed_trace().stages() if stage.kind != "beside"]
    assert all(before.mono_end == after.mono_start for before, after in pairwise(stages))
    assert [stage.name for stage in stages] == [
        *("delivery", "decode", "filters", "plan", "sign", "gate", "send", "landing"),
        *("hold", "exit plan", "exit send", "exit landing"),
    ]


def test_own_and_waited_add_up_to_the_whole() -> None:
    trace = bought()
    assert (trace.total_ms, trace.own_ms, trace.waited_ms) == (200, 10, 190)
    assert trace.exit_ms is None


def test_branch_beside_the_line_is_in_no_sum() -> None:
    beside = [stage for stage in bought().stages if stage.kind == "beside"]
    assert [(stage.name, stage.start_ns, stage.duration_ns) for stage in beside] == [("honeypot", 22 * MS, 36 * MS)]


def test_end_of_a_position_tells_of_its_exit_alone() -> None:
    trace = closed()
    assert (trace.outcome, trace.exit_ms, trace.pnl_lamports) == ("closed", 150, 5_000_000)
    assert trace.total_ms == 200


def test_buy_is_told_without_an_exit_that_came_meanwhile() -> None:
    made = of_event(SnipeDecided(id=MINT, outcome="bought", reason="", trace=closed_trace()), ANCHOR)
    assert made is not None
    assert made.stages == bought().stages


def test_events_without_stamps_make_no_trace() -> None:
    assert of_event(SnipeDecided(id=MINT, outcome="refused", reason="x", trace=Trace()), ANCHOR) is None
    assert of_event(PoolSeen(feed="websocket", is_first=True, lag_ns=DurationNs(0)), ANCHOR) is None


def test_trace_id_is_the_mints_own() -> None:
    assert trace_id_of(MINT) == bought().trace_id == closed().trace_id
    assert len(bytes.fromhex(trace_id_of(MINT))) == 16
    assert trace_id_of(MINT) != trace_id_of(MINT[::-1])


def test_otlp_parses_into_the_official_protobuf() -> None:
    request = Parse(otlp_request([bought(), closed()], version="0.1.0"), ExportTraceServiceRequest())
    (resource,) = request.resource_spans
    names = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert names == {"service.name": "slotzero", "service.version": "0.1.0"}
    spans = resource.scope_spans[0].spans
    # protobuf reads bytes as base64, OTLP's JSON has them in hexadecimal: what is compared is the JSON's own text.
    raw = json.loads(otlp_request([bought(), closed()], version="0.1.0"))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len(spans) == len(raw) == 1 + 9 + 1 + 4
    assert {len(one["traceId"]) for one in raw} == {32}
    assert len({one["spanId"] for one in raw}) == len(raw)
    roots = [one for one in raw if "parentSpanId" not in one]
    assert [one["name"] for one in roots] == ["snipe", "exit"]
    for one, parsed in zip(raw, spans, strict=True):
        assert int(one["startTimeUnixNano"]) == parsed.start_time_unix_nano <= parsed.end_time_unix_nano
        assert parsed.start_time_unix_nano >= ANCHOR.wall


def test_otlp_of_a_failed_buy_has_the_status_of_an_error() -> None:
    event = SnipeDecided(id=MINT, outcome="failed", reason="expired", trace=bought_trace())
    made = of_event(event, ANCHOR)
    assert made is not None
    request = Parse(otlp_line(made, version="1"), ExportTraceServiceRequest())
    status = request.resource_spans[0].scope_spans[0].spans[0].status
    assert (status.code, status.message) == (2, "expired")


def test_perfetto_file_has_a_track_for_each_snipe_and_its_branch() -> None:
    document = msgspec.json.decode(perfetto_file([bought(), closed()]))
    drawn = [event for event in document["traceEvents"] if event["ph"] == "X"]
    assert len(drawn) == 9 + 13
    assert {event["tid"] for event in drawn} == {1, 2, 3, 4}
    assert max(event["ts"] + event["dur"] for event in drawn) == 3_350_000
