"""A flame graph as SVG: the outermost function on top, widths by CPU time, names under the pointer. Pure.

One file, no script and no font from elsewhere; light and dark by what the reader's system asks for.
"""

import zlib
from html import escape
from typing import Final

from slotzero.perf.profile.records import Frame, Profile, own_weights

__all__ = ["flame_svg"]

_WIDTH: Final = 1_200
_ROW: Final = 20
_TOP: Final = 64
_BOTTOM: Final = 30
_SIDE: Final = 10
_CHAR: Final = 6.7
"""Width of a letter at 11 px in the monospaced fonts of common systems."""
_LEAST: Final = 0.4
"""Narrower boxes are not drawn."""
_SHORTEST_TEXT: Final = 3
_HUES: Final = 6
_STYLE: Final = """
.b{fill:#fff}.t{font:600 15px system-ui,sans-serif;fill:#1b1f24}.s{font:12px system-ui,sans-serif;fill:#57606a}
.f text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#1b1f24;pointer-events:none}
.f rect{stroke:#fff;stroke-width:.7}.f:hover rect{stroke:#1b1f24;stroke-width:1.4}
.h0 rect{fill:#ffd8a8}.h1 rect{fill:#ffc9a3}.h2 rect{fill:#ffe3a3}.h3 rect{fill:#f7c6b5}.h4 rect{fill:#f3d9b1}
.h5 rect{fill:#ffcf8f}.r rect{fill:#d0d7de}.w rect{fill:#ff8f6b}
@media (prefers-color-scheme:dark){.b{fill:#14171c}.t{fill:#e6e9ee}.s{fill:#9aa4b2}.f text{fill:#f2f4f7}
.f rect{stroke:#14171c}.f:hover rect{stroke:#f2f4f7}.h0 rect{fill:#7a4a1d}.h1 rect{fill:#804028}.h2 rect{fill:#6f5a17}
.h3 rect{fill:#7a3b33}.h4 rect{fill:#665034}.h5 rect{fill:#85561a}.r rect{fill:#39414d}.w rect{fill:#b5432a}}
"""


class _Node:
    __slots__ = ("frame", "parts", "weight")

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.weight = 0
        self.parts: dict[Frame, _Node] = {}


def flame_svg(profile: Profile, title: str) -> str:
    """Return the flame graph. *Pure.* The function with the most time of its own is in another colour, and named."""
    root = _Node(Frame("all"))
    for stack in profile.stacks:
        root.weight += stack.weight_ns
        node = root
        for frame in stack.frames:
            node = node.parts.setdefault(frame, _Node(frame))
            node.weight += stack.weight_ns
    hot = own_weights(profile)
    widest = hot[0][0] if hot else None
    boxes: list[str] = []
    depth = _draw(root, boxes, widest)
    height = _TOP + depth * _ROW + _BOTTOM
    total = max(root.weight, 1)
    about = f"{root.weight / 1e6:,.1f} ms of CPU in {profile.window_ns / 1e6:,.1f} ms, {profile.taken:,} stacks"
    about += f" by {profile.source}, every {profile.interval_us / 1_000:g} ms"
    if hot:
        about += f"; most time of its own: {hot[0][0].function}, {100 * hot[0][1] / total:.1f} %"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-labelledby="flame-title flame-about"><title id="flame-title">{_text(title)}</title>'
        f'<desc id="flame-about">{_text(about)}</desc><style>{_STYLE}</style>'
        f'<rect class="b" width="{_WIDTH}" height="{height}"/>'
        f'<text class="t" x="{_SIDE}" y="26">{_text(title)}</text>'
        f'<text class="s" x="{_SIDE}" y="46">{_text(about)}</text>{"".join(boxes)}'
        f'<text class="s" x="{_SIDE}" y="{height - 10}">Width is CPU time; a function stands under the one that called '
        "it. Hold the pointer over a box for its name and share.</text></svg>\n"
    )


def _draw(root: _Node, boxes: list[str], widest: Frame | None) -> int:
    """Add a box for each function that is wide enough. Returns how deep they go."""
    scale = (_WIDTH - 2 * _SIDE) / max(root.weight, 1)
    deepest = 0
    todo: list[tuple[list[_Node], int, float]] = [(_ordered(root), 0, float(_SIDE))]
    while todo:
        nodes, depth, x = todo.pop()
        for node in nodes:
            width = node.weight * scale
            if width >= _LEAST:
                boxes.append(_box(node, depth, x, width, total=root.weight, is_widest=node.frame == widest))
                deepest = max(deepest, depth + 1)
                todo.append((_ordered(node), depth + 1, x))
            x += width
    return deepest


def _ordered(node: _Node) -> list[_Node]:
    return sorted(node.parts.values(), key=lambda part: part.frame)


def _box(node: _Node, depth: int, x: float, width: float, *, total: int, is_widest: bool) -> str:
    frame = node.frame
    if is_widest:
        kind = "w"
    elif not frame.file:
        kind = "r"
    else:
        kind = f"h{zlib.crc32(frame.file.encode()) % _HUES}"
    y = _TOP + depth * _ROW
    room = int((width - 6) / _CHAR)
    name = frame.function if len(frame.function) <= room else f"{frame.function[: room - 1]}…"
    label = f'<text x="{x + 3:.1f}" y="{y + 14}">{_text(name)}</text>' if room >= _SHORTEST_TEXT else ""
    share = f"{frame}: {node.weight / 1e6:.2f} ms, {100 * node.weight / max(total, 1):.1f} %"
    return (
        f'<g class="f {kind}"><title>{_text(share)}</title>'
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 1}" rx="2"/>{label}</g>'
    )


def _text(value: str) -> str:
    """Return text as XML can hold it: a profile's names are those of whoever wrote the code."""
    return escape("".join(char if char.isprintable() else "?" for char in value))
