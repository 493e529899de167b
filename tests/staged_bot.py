"""A bot on a staged chain, asked over its control socket how it stands, as `slotzero positions` does."""

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bot_process import finish, journal_events, start_bot
from slotzero.control import ControlClient, PositionView, Status, find_bot
from slotzero.control.records import Request
from slotzero.errors import SlotzeroError
from stage_chain import Stage

if TYPE_CHECKING:
    import subprocess

__all__ = ["StagedBot", "bot_config", "running_bot", "within"]

T = TypeVar("T")
_LOOK_EVERY_S = 0.02


def within(seconds: float, look: Callable[[], T | None], what: str) -> T:
    """Look until there is something to see; return it."""
    deadline = time.monotonic() + seconds  # noqa: TID251 a test waits for another process
    while True:
        if (seen := look()) is not None:
            return seen
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"  # noqa: TID251
        time.sleep(_LOOK_EVERY_S)


def bot_config(folder: Path, stage: Stage, text: str = "", *, cluster: str = "") -> Path:
    """A configuration that joins the staged chain with a journal in `folder`; `cluster` adds to its section."""
    path = folder / "slotzero.toml"
    ends = stage.endpoints
    own = "" if "rpc_url" in cluster else f'rpc_url = "{ends["rpc"]}"\nws_url = "{ends["ws"]}"\n'
    journal = f'[journal]\npath = "{folder / "journal.sqlite3"}"\n'
    path.write_text(f"[cluster]\n{own}{cluster}\n{journal}{text}")
    return path


class StagedBot:
    """One running bot."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.client: ControlClient = within(30, self._connect, "the bot's control socket")

    def _connect(self) -> ControlClient | None:
        if self.process.poll() is not None:
            _, err = self.process.communicate()
            raise AssertionError(f"the bot ended ({self.process.returncode}): {err.decode()[-3_000:]}")
        try:
            client = find_bot(self.folder / "slotzero", self.process.pid)
        except SlotzeroError:
            return None
        try:
            client.ask(Request(command="status"))
        except SlotzeroError:
            client.close()
            return None
        return client

    @property
    def journal(self) -> Path:
        return self.folder / "journal.sqlite3"

    @property
    def events(self) -> list[dict[str, Any]]:
        return journal_events(self.journal)

    def status(self) -> Status:
        return self.client.ask(Request(command="status"))

    def position(self, mint: str) -> PositionView | None:
        return next((found for found in self.status().positions if found.mint == mint), None)

    def holds(self, mint: str) -> PositionView:
        """Wait until the bot holds `mint` and has seen its price."""

        def look() -> PositionView | None:
            found = self.position(mint)
            return found if found is not None and found.value_lamports is not None else None

        return within(20, look, f"a position in {mint}, {self.status().refused}")

    def ends(self, mint: str, *states: str) -> PositionView:
        """Wait until the position in `mint` has one of `states`."""

        def look() -> PositionView | None:
            found = self.position(mint)
            return found if found is not None and found.state in states else None

        return within(20, look, f"{mint} {states}")

    def listens(self, stage: Stage) -> int:
        """Launch coins that no filter of 0.5 SOL lets through until the bot has seen one; returns how many it saw."""

        def look() -> int | None:
            stage.launch("PRIMER", creator_buys=0)
            time.sleep(0.1)
            return self.status().detected or None

        within(20, look, "a pool that was detected")
        time.sleep(0.1)
        return self.status().detected

    def buys_again(self, stage: Stage, symbol: str) -> list[str]:
        """Launch coins until the bot holds one; returns them all. What it did not hear of is not bought later."""
        mints: list[str] = []

        def look() -> list[str] | None:
            mints.append(stage.launch(f"{symbol}{len(mints)}"))
            time.sleep(0.2)
            held = {position.mint for position in self.status().positions}
            return mints if held & set(mints) else None

        return within(20, look, f"a buy of one of {symbol}")

    def refuses(self, count: int) -> Status:
        """Wait until so many pools were refused."""

        def look() -> Status | None:
            status = self.status()
            return status if sum(status.refused.values()) >= count else None

        return within(20, look, f"{count} refusals")

    def finish(self, *, by: signal.Signals | None = signal.SIGINT) -> tuple[dict[str, Any], str]:
        """End the run; return its document and what it said on stderr."""
        self.client.close()
        if by is not None:
            self.process.send_signal(by)
        code, out, err = finish(self.process)
        assert code == (130 if by is signal.SIGINT else 0), err
        return json.loads(out), err


@contextlib.contextmanager
def running_bot(folder: Path, config: Path, *arguments: str) -> Iterator[StagedBot]:
    """Start `slotzero run`; it is killed at the end of the block if it still runs."""
    process = start_bot("--config", str(config), "--json", *arguments, state=folder)
    try:
        bot = StagedBot(process, folder)
        try:
            yield bot
        finally:
            bot.client.close()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
