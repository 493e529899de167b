"""Results as one self-contained HTML page: no request, no script needed to read it."""

from slotzero.web.report.page import render_report
from slotzero.web.report.records import ReportPart

__all__ = ["ReportPart", "render_report"]
