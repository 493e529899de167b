"""YAML for configuration files that people read: block style, long expressions as literal blocks. Pure.

A writer only, for what Prometheus, Alertmanager and Grafana are configured with: mappings, lists, text, numbers,
truth values. Text that could be read as anything else is quoted.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

__all__ = ["Yaml", "as_yaml"]

Yaml: TypeAlias = "Mapping[str, Yaml] | Sequence[Yaml] | str | int | float | bool"

_PLAIN: Final = re.compile(r"[A-Za-z/][\w ./~()-]*(?<! )")
_DURATION: Final = re.compile(r"\d+[smhd]")
_RESERVED: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_STEP: Final = "  "


def as_yaml(value: Mapping[str, Yaml], *, comment: str = "") -> str:
    """Return a document, with `comment` above it."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + "\n".join(_mapping(value, "")) + "\n"


def _mapping(value: Mapping[str, Yaml], indent: str) -> list[str]:
    lines: list[str] = []
    for key, item in value.items():
        lines += _entry(f"{indent}{_scalar(key, indent)}:", item, indent)
    return lines


def _entry(head: str, item: Yaml, indent: str) -> list[str]:
    if isinstance(item, Mapping):
        return [head, *_mapping(item, indent + _STEP)] if item else [f"{head} {{}}"]
    if isinstance(item, Sequence) and not isinstance(item, str):
        return [head, *_list(item, indent + _STEP)] if item else [f"{head} []"]
    return [f"{head} {_scalar(item, indent + _STEP)}"]


def _list(items: Sequence[Yaml], indent: str) -> list[str]:
    lines: list[str] = []
    for item in items:
        if isinstance(item, Mapping) and item:
            first, *rest = _mapping(item, indent + _STEP)
            lines += [f"{indent}- {first.lstrip()}", *rest]
        else:
            lines += _entry(f"{indent}-", item, indent)
    return lines


def _scalar(value: Yaml, indent: str) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if "\n" in value:
        assert not value.startswith(" "), "a literal block's indent is its first line's"
        return "|-\n" + "\n".join(f"{indent}{line}" if line else "" for line in value.rstrip("\n").split("\n"))
    if _DURATION.fullmatch(value) or (_PLAIN.fullmatch(value) and value.lower() not in _RESERVED):
        return value
    if value.isprintable() and '"' in value:
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(map(_quoted, value)) + '"'


def _quoted(character: str) -> str:
    if character in {'"', "\\"}:
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"  # U+2028 would end the line
