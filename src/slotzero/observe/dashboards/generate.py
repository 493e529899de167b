"""Generate the dashboards anew: `python -m slotzero.observe.dashboards.generate`. For maintainers.

The same code gives the same bytes: keys are sorted, panels are numbered in their order, and the builder is pinned.
"""

import json
import sys

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from slotzero.observe.dashboards.files import DASHBOARDS, dashboard_path
from slotzero.observe.dashboards.live import live_dashboard
from slotzero.observe.dashboards.performance import performance_dashboard
from slotzero.workloads.targets import SYSTEM_TARGETS, TARGETS

__all__ = ["generated", "main"]


def generated() -> dict[str, str]:
    """Return every dashboard's JSON by its name."""
    memory_mb, cpu_percent = SYSTEM_TARGETS.peak_memory_mb, SYSTEM_TARGETS.avg_cpu_percent
    return {
        "performance": _encoded(performance_dashboard(TARGETS, memory_mb=memory_mb, cpu_percent=cpu_percent)),
        "live": _encoded(live_dashboard(TARGETS, memory_mb=memory_mb, cpu_percent=cpu_percent)),
    }


def main() -> None:
    """Write them where they are packaged."""
    texts = generated()
    assert set(texts) == set(DASHBOARDS), f"expected {DASHBOARDS}, generated {set(texts)}"
    for name, text in texts.items():
        dashboard_path(name).write_text(text, encoding="utf-8", newline="\n")
        sys.stdout.write(f"wrote {dashboard_path(name)}\n")


def _encoded(built: builders.Dashboard) -> str:
    dashboard = built.build()
    panels = dashboard.panels or []
    for number, panel in enumerate(panels, start=1):
        panel.id_val = number
    return json.dumps(dashboard, cls=JSONEncoder, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
