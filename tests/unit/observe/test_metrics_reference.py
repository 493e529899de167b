"""docs/reference/metrics.md lists every metric as the registry has it."""

from pathlib import Path

import pytest

from slotzero.observe.catalogue import BotMetrics, LabMetrics
from slotzero.observe.metrics import Registry

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "metrics.md"


def rows(make: type[LabMetrics] | type[BotMetrics]) -> list[str]:
    registry = Registry()
    make(registry)
    return [
        f"| `{family.name}` | {family.kind} | {', '.join(family.labels) or '-'} | {family.text} |"
        for family in registry.families()
    ]


@pytest.mark.parametrize(("heading", "make"), [("## The lab", LabMetrics), ("## The bot", BotMetrics)])
def test_page_lists_what_is_registered(heading: str, make: type[LabMetrics] | type[BotMetrics]) -> None:
    section = PAGE.read_text().split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    listed = [line for line in section.splitlines() if line.startswith("| `")]
    assert listed == rows(make)
