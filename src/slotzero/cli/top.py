"""`slotzero top`: the live figures in a terminal."""

from importlib.util import find_spec
from typing import Annotated

import typer

from slotzero.errors import UsageError

__all__ = ["top"]


def top(
    *,
    url: Annotated[str, typer.Option(help="Where `slotzero serve` or `slotzero run --serve` answers.")] = (
        "http://127.0.0.1:9464"
    ),
) -> None:
    """Show the live figures in a terminal: the API's, once a second. Needs the extra [tui].

    q ends it, p pauses it.

    Example: slotzero top --url http://127.0.0.1:9464
    """
    if find_spec("textual") is None:
        raise UsageError(
            "`slotzero top` needs the extra [tui]; from the checkout: .venv/bin/python -m pip install -e '.[tui]'"
        )
    # Here, so that `slotzero --help` loads nothing of it.
    from slotzero.web.top import Api, TopApp  # noqa: PLC0415

    api = Api(url)
    api.performance()  # says what is wrong before the screen is taken over
    TopApp(api).run()
