"""Suggestions on a page: what, why, and what it would bring. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from slotzero.perf.types import Severity, Suggestion
from slotzero.web.report.overview import chip
from slotzero.web.report.text import duration, number, percent, plain

__all__ = ["advice_list"]

_KIND: Final = {Severity.CRITICAL: "bad", Severity.HIGH: "warn", Severity.MEDIUM: "warn", Severity.LOW: "none"}
_NS: Final = 1e6
_CODE: Final = re.compile(r"`([^`]+)`")


def advice_list(suggestions: Sequence[Suggestion], *, of: Sequence[str] = (), heading: str = "h3") -> str:
    """Return suggestions as a list.

    Args:
        suggestions: In their order.
        of: Which benchmark each is about, where the list is of several.
        heading: The element of each one's title.
    """
    items = "".join(_item(found, of[place] if of else "", heading) for place, found in enumerate(suggestions))
    return f'<ol class="advice">{items}</ol>'


def _item(found: Suggestion, of: str, heading: str) -> str:
    figures = ", ".join(
        f"{name.replace('_', ' ')} {number(value)}"
        for name, value in found.evidence.items()
        if not name.startswith(("p95_", "p99_"))
    )
    advice = _CODE.sub(r"<code>\1</code>", plain(found.advice))
    subject = f'<span class="soft">{plain(of)}</span> ' if of else ""
    evidence = f'<p class="small soft">Seen: {plain(figures)}.</p>' if figures else ""
    return (
        f"<li><{heading}>{chip(_KIND[found.severity], found.severity.value)} {subject}{plain(found.title)}</{heading}>"
        f"<p>{advice}</p>{_gain(found)}{evidence}</li>"
    )


def _gain(found: Suggestion) -> str:
    assumes = f' <span class="soft">if {plain(found.assumes)}</span>' if found.assumes else ""
    if found.impact_p95_ms is not None and found.p95_ms:
        share = 100 * (found.p95_ms - found.impact_p95_ms) / found.p95_ms
        return (
            f'<p><span class="gain">p95 would go from {duration(found.p95_ms * _NS)} to '
            f"{duration(found.impact_p95_ms * _NS)} ({percent(share)} less)</span>{assumes}.</p>"
        )
    if found.impact_mb_per_h is not None:
        return f'<p><span class="gain">{number(found.impact_mb_per_h)} MB an hour would be kept</span>{assumes}.</p>'
    return ""
