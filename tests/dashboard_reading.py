"""Dashboards as a stranger reads them: panels and queries out of the JSON, with Grafana's variables put in."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slotzero.observe.dashboards.files import DASHBOARDS, dashboard_path

__all__ = ["PanelQuery", "load_dashboard", "panel_queries", "panels"]


@dataclass(frozen=True)
class PanelQuery:
    """One query of one panel."""

    dashboard: str
    panel: str
    kind: str
    expr: str
    legend: str
    ref: str

    @property
    def legend_labels(self) -> set[str]:
        return set(re.findall(r"{{\s*(\w+)\s*}}", self.legend))

    def asked(self, *, window: str, span: str, job: str = ".*", instance: str = ".*", component: str = ".*") -> str:
        """The query as Grafana would send it."""
        text = self.expr.replace("$__rate_interval", window).replace("$__range", span)
        return text.replace("$job", job).replace("$instance", instance).replace("$component", component)


def load_dashboard(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dashboard_path(name).read_text())
    return found


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_queries(*names: str) -> Iterator[PanelQuery]:
    for name in names or DASHBOARDS:
        for panel in panels(load_dashboard(name)):
            for target in panel["targets"]:
                yield PanelQuery(
                    name, panel["title"], panel["type"], target["expr"], target["legendFormat"], target["refId"]
                )
