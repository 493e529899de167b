"""Prometheus rules as records, and their file. Pure."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from slotzero.observe.yaml_text import Yaml, as_yaml

__all__ = ["Alert", "Group", "Links", "Record", "Rule", "Severity", "rule_file"]

Severity = Literal["critical", "warning", "none"]


class Record(Struct, frozen=True, kw_only=True):
    """A series Prometheus computes: named `level:metric:operation`."""

    name: str
    expr: str
    labels: dict[str, str] = {}


class Alert(Struct, frozen=True, kw_only=True):
    """A rule that fires.

    Attributes:
        expr: Gives a series for each thing that is wrong, and nothing where there is no data to say so.
        for_s: How long it must be wrong before somebody is called.
        keep_s: How long it goes on firing after that, against flapping.
        summary: One line with the value.
        description: What it means and what to look at first.
        dashboard: Which of our dashboards shows it; may be a template of Prometheus.
    """

    name: str
    expr: str
    severity: Severity
    for_s: int
    keep_s: int
    summary: str
    description: str
    labels: dict[str, str] = {}
    dashboard: str = "live"


Rule: TypeAlias = Record | Alert


class Group(Struct, frozen=True, kw_only=True):
    """Rules that are evaluated one after the other, each seeing what those before it have recorded."""

    name: str
    rules: tuple[Rule, ...]


class Links(Struct, frozen=True, kw_only=True):
    """Where an alert's links lead.

    Attributes:
        docs: Where the documentation is: a folder or an address; runbooks are beneath it.
        grafana: Where Grafana is.
    """

    docs: str = "docs"
    grafana: str = "http://127.0.0.1:3000"


def rule_file(groups: Sequence[Group], *, links: Links, comment: str, for_s: int | None = None) -> str:
    """Return the text of a rule file.

    Args:
        groups: What it holds.
        links: Where the alerts' links lead.
        comment: Stands above everything.
        for_s: Takes the place of every alert's own waiting and keeping, for a rehearsal; None = as they are.
    """
    document: dict[str, Yaml] = {
        "groups": [
            {"name": group.name, "rules": [_rule(rule, links=links, for_s=for_s) for rule in group.rules]}
            for group in groups
        ]
    }
    return as_yaml(document, comment=comment)


def _rule(rule: Rule, *, links: Links, for_s: int | None) -> dict[str, Yaml]:
    if isinstance(rule, Record):
        return {"record": rule.name, "expr": rule.expr, **({"labels": rule.labels} if rule.labels else {})}
    waits, keeps = (rule.for_s, rule.keep_s) if for_s is None else (for_s, for_s)
    timing: dict[str, Yaml] = {"for": _duration(waits)} if waits else {}
    if keeps and rule.keep_s:
        timing["keep_firing_for"] = _duration(keeps)
    return {
        "alert": rule.name,
        "expr": rule.expr,
        **timing,
        "labels": {"severity": rule.severity, **rule.labels},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{links.docs.rstrip('/')}/runbooks/{rule.name}.md",
            "dashboard_url": f"{links.grafana.rstrip('/')}/d/slotzero-{rule.dashboard}",
        },
    }


def _duration(seconds: int) -> str:
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
