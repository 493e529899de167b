"""The further figures of a load run, by whoever knows them: bot, chain, driver, machine, a climb's steps. Pure.

A block is a table of its own, its percentiles side by side in a second one. The steps of a climb are one table, a row
for each. Names become words and their suffixes units, so that a new figure needs no change here.
"""

import re
from collections.abc import Mapping
from typing import Final, get_args

from slotzero.perf.load_types import LoadResult, Verdict
from slotzero.web.report.tables import captioned
from slotzero.web.report.text import DASH, attr, duration, number

__all__ = ["further_figures"]

_Block = Mapping[str, float | None]

_NS: Final = 1e6
_STEP: Final = re.compile(r"(?P<climb>.*?) ?(?P<step>(?:step|overload) \d+)")
_PERCENTILE: Final = re.compile(r"(?P<of>\w+)_(?P<point>p\d+)_ms")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_UNITS: Final = (
    ("_mb_per_h_high", "MB/h", ", upper end"),
    ("_mb_per_h", "MB/h", ""),
    ("_ms_per_op", "ms", " per operation"),
    ("_per_s", "/s", ""),
    ("_percent", "%", ""),
    ("_mb", "MB", ""),
    ("_ms", "ms", ""),
    ("_s", "s", ""),
)
"""A suffix, the unit it stands for, and what else it says."""
_WORDS: Final = {
    "cpu": "CPU",
    "gc": "GC",
    "http429": "HTTP 429",
    "op": "operation",
    "ops": "operations",
    "rpc": "RPC",
    "rss": "memory",
    "vm": "VM",
}
_VERDICTS: Final = frozenset(get_args(Verdict))


def further_figures(result: LoadResult) -> str:
    """Return the blocks of a run as tables; nothing when there are none."""
    climbs: dict[str, dict[str, _Block]] = {}
    tables = []
    for name, block in result.extra.items():
        step = _STEP.fullmatch(name)
        if step is None:
            tables.append(_block(name, block))
        else:
            climbs.setdefault(step["climb"], {})[step["step"]] = block
    if not result.extra:
        return ""
    drawn = "".join(_climb(name, steps) for name, steps in climbs.items())
    if tables:
        drawn += f'<div class="blocks">{"".join(tables)}</div>'
    return f"<h4>What bot, chain, driver and machine say</h4>{drawn}"


def _words(name: str) -> str:
    """Return a figure's or a block's name in words, without the suffix that is its unit."""
    return _read(name)[0]


def _shown(name: str, value: float | None) -> str:
    """Return a figure's value with the unit its name ends with; None is a dash."""
    unit = _read(name)[1]
    if value is None:
        return DASH
    if unit == "ms" and value > 0:
        return duration(value * _NS)
    return f"{number(value)}{unit if unit == '/s' else f' {unit}' if unit else ''}"


def _read(name: str) -> tuple[str, str]:
    stem, unit, rest = name, "", ""
    for suffix, found, instead in _UNITS:
        if name.endswith(suffix):
            stem, unit, rest = name.removesuffix(suffix), found, instead
            break
    parts = _HUMP.sub("_", stem).lower().replace("_", " ").split()
    return " ".join(_WORDS.get(part, part) for part in parts) + rest, unit


def _block(name: str, block: _Block) -> str:
    """Return a block as a table, and its percentiles, where there are several of something, as another one."""
    spreads = _spreads(block)
    beside = {f"{of}_{point}_ms" for of, spread in spreads.items() for point in spread}
    single = [(_words(figure), [_shown(figure, value)]) for figure, value in block.items() if figure not in beside]
    drawn = captioned(_words(name), ["figure", "value"], single) if single or not spreads else ""
    if spreads:
        points = list(dict.fromkeys(point for spread in spreads.values() for point in spread))
        rows = [(_words(of), [_shown("_ms", spread.get(point)) for point in points]) for of, spread in spreads.items()]
        drawn += captioned(f"{_words(name)}, latencies", ["stage", *points], rows)
    return drawn


def _spreads(block: _Block) -> dict[str, dict[str, float | None]]:
    """Return the figures of which there is more than one percentile: by figure, then by point."""
    found: dict[str, dict[str, float | None]] = {}
    for figure, value in block.items():
        if (named := _PERCENTILE.fullmatch(figure)) is not None:
            found.setdefault(named["of"], {})[named["point"]] = value
    return {of: points for of, points in found.items() if len(points) > 1}


def _climb(name: str, steps: Mapping[str, _Block]) -> str:
    figures = [
        figure for figure in dict.fromkeys(f for block in steps.values() for f in block) if figure not in _VERDICTS
    ]
    rows = []
    for step, block in steps.items():
        verdict = next((figure.replace("_", " ") for figure in block if figure in _VERDICTS), DASH)
        rows.append((step, [*(_shown(figure, block.get(figure)) for figure in figures), verdict]))
    title = f"{_words(name)} climb".strip().capitalize()
    head = ["step", *map(_words, figures), "verdict"]
    return (
        f'<div class="scroll" role="group" tabindex="0" aria-label="{attr(title)}">{captioned(title, head, rows)}</div>'
    )
