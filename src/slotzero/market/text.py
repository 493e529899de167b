"""A stranger's text, made fit for a terminal, a log line and a table cell. *Pure.*"""

import unicodedata
from typing import Final

__all__ = ["shown"]

_MAX_MARKS: Final = 2
"""Combining marks on one letter: enough for every living script, too few to paint over the lines around it."""
_MARKS: Final = frozenset({"Mn", "Me"})


def shown(text: str, most: int) -> str:
    """Return `text` on one line of at most `most` characters, with nothing in it that a terminal acts on. *Pure.*

    Controls, line ends, directions (which can turn what stands after them around), invisible and unassigned characters
    become `?`; white space becomes one blank. Look-alikes stay: two names may look the same and be different.

    Args:
        text: Whatever somebody wrote.
        most: Characters, at least 1; what is cut off is told by an ellipsis.
    """
    letters: list[str] = []
    marks = 0
    # Four times as many are looked at as are shown: blanks and marks fall out, and a text of megabytes costs nothing.
    for letter in text[: 4 * most + 4]:
        if letter.isspace():
            if letters and letters[-1] != " ":
                letters.append(" ")
            marks = 0
        elif not letter.isprintable():
            letters.append("?")
            marks = 0
        elif unicodedata.category(letter) in _MARKS:
            marks += 1
            if marks <= _MAX_MARKS and letters:
                letters.append(letter)
        else:
            letters.append(letter)
            marks = 0
    clean = "".join(letters).strip()
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"
