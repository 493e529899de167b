"""Prometheus rules as records, and their file. Pure."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from slotzero.observe.yaml_text import Yaml, as_yaml

__all__ = ["Alert", "Group", "Record", "Rule", "Severity", "rule_file"]

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
    """

    name: str
    expr: str
    severity: Severity
    for_s: int
    keep_s: int
    summary: str
    description: str
    labels: dict[str, str] = {}


Rule: TypeAlias = Record | Alert


class Group(Struct, frozen=True, kw_only=True):
    """Rules that are evaluated one after the other, each seeing what those before it have recorded."""

    name: str
    rules: tuple[Rule, ...]


def rule_file(groups: Sequence[Group], *, docs: str, comment: str, for_s: int | None = None) -> str:
    """Return the text of a rule file.

    Args:
        groups: What it holds.
        docs: Where the documentation is: a folder or an address; runbooks are beneath it.
        comment: Stands above everything.
        for_s: Takes the place of every alert's own waiting and keeping, for a rehearsal; None = as they are.
    """
    document: dict[str, Yaml] = {
        "groups": [
            {"name": group.name, "rules": [_rule(rule, docs=docs, for_s=for_s) for rule in group.rules]}
            for group in groups
        ]
    }
    return as_yaml(document, comment=comment)


def _rule(rule: Rule, *, docs: str, for_s: int | None) -> dict[str, Yaml]:
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
            "runbook_url": f"{docs.rstrip('/')}/runbooks/{rule.name}.md",
        },
    }


def _duration(seconds: int) -> str:
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
