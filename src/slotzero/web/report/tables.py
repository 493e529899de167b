"""Tables of a report that carry their own name. Pure."""

from collections.abc import Sequence

from slotzero.web.report.text import plain

__all__ = ["captioned"]


def captioned(caption: str, head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return a table; without rows it says so.

    Args:
        caption: Its name; the first letter is made a capital.
        head: The names of the columns, that of the row headers first.
        rows: A row's header and its cells, as text.
    """
    columns = "".join(f'<th scope="col">{plain(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{plain(name)}</th>{"".join(f"<td>{plain(cell)}</td>" for cell in cells)}</tr>'
        for name, cells in rows
    )
    body = body or f'<tr><td class="soft" colspan="{len(head)}">none</td></tr>'
    name = caption[:1].upper() + caption[1:]
    return f"<table><caption>{plain(name)}</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"
