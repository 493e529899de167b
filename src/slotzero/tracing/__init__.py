"""A snipe's stamps as something to look at: a record, OpenTelemetry's JSON, a file for a trace viewer. Pure."""

from slotzero.tracing.otlp import otlp_line, otlp_request
from slotzero.tracing.perfetto import perfetto_file
from slotzero.tracing.snipe import SnipeTrace, TraceStage, of_event, trace_id_of

__all__ = ["SnipeTrace", "TraceStage", "of_event", "otlp_line", "otlp_request", "perfetto_file", "trace_id_of"]
