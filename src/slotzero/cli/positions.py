"""`slotzero positions`, `close` and `panic`: look at a bot that runs, and tell it what to do."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

if TYPE_CHECKING:
    from slotzero.control import ControlClient, Status

__all__ = ["close", "panic", "positions"]

_Bot = Annotated[int | None, typer.Option("--bot", help="The bot's process id, where several run.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
_STILL_HELD: Final = 1
_SOLD_WITHIN_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.1


def positions(*, bot: _Bot = None, json: _Json = False) -> None:
    """Show what the running bot holds, with what it would bring now and where its stop stands.

    Example: slotzero positions --json
    """
    from slotzero.control.records import Request  # noqa: PLC0415 `slotzero --help` loads none of the bot's parts

    with _bot(bot) as client:
        _show(client.ask(Request(command="status")), as_json=json)


def close(
    position: Annotated[str, typer.Argument(metavar="ID", help="The position's id, or how it begins.")],
    *,
    bot: _Bot = None,
    json: _Json = False,
) -> None:
    """Sell one position now. One that is stuck is tried again.

    Example: slotzero close 3f2a
    """
    from slotzero.control.records import Request  # noqa: PLC0415 as above

    with _bot(bot) as client:
        _show(client.ask(Request(command="close", position=position)), as_json=json)


def panic(
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the journal.")] = "by hand",
    release: Annotated[bool, typer.Option("--release", help="Take the kill switch off: buying goes on.")] = False,
    bot: _Bot = None,
    json: _Json = False,
) -> None:
    """Stop buying at once and sell everything at any price. It stays stopped, over restarts, until --release.

    Waits up to five seconds for the sells. The exit code is 0 when nothing is held any more, 1 when something could
    not be sold, which is then shown with its reason.

    Example: slotzero panic --reason "the node lags"
    """
    from slotzero.control.records import Request  # noqa: PLC0415 as above

    with _bot(bot) as client:
        if release:
            _show(client.ask(Request(command="resume")), as_json=json)
            return
        status = client.ask(Request(command="panic", reason=reason))
        deadline = time.perf_counter() + _SOLD_WITHIN_S
        while _is_selling(status) and time.perf_counter() < deadline:
            time.sleep(_LOOK_EVERY_S)
            status = client.ask(Request(command="status"))
        _show(status, as_json=json)
        if any(position.state != "closed" for position in status.positions):
            raise typer.Exit(_STILL_HELD)


def _is_selling(status: "Status") -> bool:
    return bool(status.buys_under_way) or any(position.state == "open" for position in status.positions)


def _bot(pid: int | None) -> "ControlClient":
    from slotzero.control import find_bot  # noqa: PLC0415 as above
    from slotzero.workloads.bot_run import state_folder  # noqa: PLC0415

    return find_bot(state_folder(), pid)


def _show(status: "Status", *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(status).decode() + "\n")
        return
    from rich.console import Console  # noqa: PLC0415 as above

    from slotzero.observe.console import status_view, widened  # noqa: PLC0415

    widened(Console(file=sys.stdout)).print(status_view(status))
