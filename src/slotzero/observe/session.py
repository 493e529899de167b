"""One run in front of a person: the event loop, Ctrl-C, the live table, the result."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO, assert_never

import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.logging import RichHandler

from slotzero.config import Settings, load
from slotzero.engine import Engine, EngineReport
from slotzero.errors import SlotzeroError, UsageError
from slotzero.hook import Hook
from slotzero.observe.console import live_view, print_summary
from slotzero.observe.faults import first_fault
from slotzero.observe.logs import TerminalFormatter
from slotzero.observe.run_document import run_document
from slotzero.observe.telling import TellRequest, told
from slotzero.trading.wallets.passwords import PasswordSource
from slotzero.workloads.bot_run import BotRun, ClusterName
from slotzero.workloads.live_run import CONFIRMATION, LiveRequest, snipe_live
from slotzero.workloads.localnet_run import snipe_on_localnet
from slotzero.workloads.paper_run import snipe_on_paper

__all__ = ["RunRequest", "run_session", "with_seed"]

_REDRAW_S: Final = 0.25


class RunRequest(Struct, frozen=True, kw_only=True):
    """What `slotzero run` was asked for.

    Attributes:
        config: The configuration's file, or None for the defaults.
        cluster: What to trade on.
        until_closed: End when so many positions have been closed.
        for_s: End after so many seconds.
        seed: Takes the place of the configured one, or None.
        as_json: Print the document instead of tables.
        password_file: Live: where the keystore's password is; None = ask on the terminal.
        password_from_environment: Live: take it from the environment instead.
        is_confirmed: Live: the person has said so on the command line.
        tell: What the run tells of itself, and where.
    """

    config: Path | None = None
    cluster: ClusterName = "localnet"
    until_closed: int | None = None
    for_s: float | None = None
    seed: int | None = None
    as_json: bool = False
    password_file: Path | None = None
    password_from_environment: bool = False
    is_confirmed: bool = False
    tell: TellRequest = TellRequest()


def run_session(request: RunRequest, *, stdout: TextIO) -> bool:
    """Run the sniper until it is done and show what it did. Returns whether it was interrupted.

    Args:
        request: What to do.
        stdout: Where the result goes; everything else goes to stderr.

    Raises:
        SlotzeroError: What went wrong.
    """
    settings = with_seed(load(request.config), request.seed)
    session = _Session(request, shows_table=not request.as_json and sys.stderr.isatty())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        run = runner.run(session.run(settings))
    if run is not None:
        if request.as_json:
            stdout.write(msgspec.json.encode(run_document(run)).decode() + "\n")
        else:
            print_summary(Console(file=stdout), run)
    return session.was_interrupted


class _Session:
    def __init__(self, request: RunRequest, *, shows_table: bool) -> None:
        self._request = request
        self._console = Console(stderr=True)
        self._shows_table = shows_table
        self._engine: Engine | None = None
        self._main: asyncio.Task[BotRun] | None = None
        self.was_interrupted = False
        self._ends_at_once = False

    async def run(self, settings: Settings) -> BotRun | None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        _configure_logging(self._console)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._main = tasks.create_task(self._snipe(settings), name="run")
                drawing = tasks.create_task(self._draw(), name="table") if self._shows_table else None
                try:
                    await self._main
                except asyncio.CancelledError:
                    if not self._ends_at_once:
                        raise SlotzeroError(
                            "the run was cancelled from within, a bug; the journal keeps what is held"
                        ) from None
                if drawing is not None:
                    drawing.cancel()
        except BaseExceptionGroup as group:
            raise first_fault(group) from group
        return None if self._main.cancelled() else self._main.result()

    async def _snipe(self, settings: Settings) -> BotRun:
        # What start-up has allocated lives as long as the process: no reason to look at it in every collection.
        gc.collect()
        gc.freeze()
        request, slot_ms = self._request, settings.localnet.slot_ms
        async with told(
            request.tell,
            cluster=request.cluster,
            slot_ms=slot_ms,
            report=self._report,
            say=lambda text: self._console.print(text, highlight=False),
        ) as hook:
            return await self._snipe_on_cluster(settings, hook)

    async def _snipe_on_cluster(self, settings: Settings, hook: Hook) -> BotRun:
        request = self._request
        match request.cluster:
            case "localnet":
                return await snipe_on_localnet(
                    settings,
                    until_closed=request.until_closed,
                    for_s=request.for_s,
                    on_engine=self._on_engine,
                    hook=hook,
                )
            case "live":
                live = LiveRequest(
                    passwords=PasswordSource(
                        file=request.password_file, from_environment=request.password_from_environment
                    ),
                    confirm=None if request.is_confirmed else self._confirm,
                    while_asking=self._asking,
                )
                return await snipe_live(
                    settings,
                    live,
                    until_closed=request.until_closed,
                    for_s=request.for_s,
                    on_engine=self._on_engine,
                    hook=hook,
                )
            case "paper":
                return await snipe_on_paper(
                    settings,
                    until_closed=request.until_closed,
                    for_s=request.for_s,
                    on_engine=self._on_engine,
                    hook=hook,
                )
            case "replay":
                raise UsageError("a recording is traded with `slotzero replay FILE --trade`")
            case _:
                assert_never(request.cluster)

    def _confirm(self, told: str) -> bool:
        """Show what is about to happen and wait for the person to type it. Without a terminal nobody can."""
        self._console.print(told)
        if not sys.stdin.isatty():
            return False
        try:
            return self._console.input(f"Type [bold]{CONFIRMATION}[/bold] to begin: ").strip() == CONFIRMATION
        except (EOFError, UnicodeDecodeError):  # Ctrl-D
            return False

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Let Ctrl-C end at once while a person is waited for: the loop stands still, and its handler with it."""
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGINT)
        try:
            yield
        except KeyboardInterrupt:
            self.was_interrupted = self._ends_at_once = True
            raise asyncio.CancelledError from None
        finally:
            loop.add_signal_handler(signal.SIGINT, self._on_signal)

    def _report(self, *, with_exits: bool) -> EngineReport | None:
        if self._engine is None or not self._engine.has_started:
            return None
        return self._engine.report(with_exits=with_exits)

    def _on_engine(self, engine: Engine) -> None:
        self._engine = engine
        if self.was_interrupted:
            engine.stop()

    def _on_signal(self) -> None:
        """First: end in order. Second, or before there is an engine: end at once."""
        if self.was_interrupted or self._engine is None:
            assert self._main is not None
            self._ends_at_once = True
            self._main.cancel()
        elif not self._shows_table:
            self._console.print("ending: selling what is held; Ctrl-C again ends at once")
        self.was_interrupted = True
        if self._engine is not None:
            self._engine.stop()

    async def _draw(self) -> None:
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while True:
                if self._engine is not None and self._engine.has_started:
                    live.update(live_view(self._engine.report()), refresh=True)
                await asyncio.sleep(_REDRAW_S)


def with_seed(settings: Settings, seed: int | None) -> Settings:
    """Return settings with another seed; None leaves them as they are."""
    if seed is None:
        return settings
    return msgspec.structs.replace(settings, localnet=msgspec.structs.replace(settings.localnet, seed=seed))


def _configure_logging(console: Console) -> None:
    handler = RichHandler(logging.WARNING, console=console, show_path=False, show_time=False)
    handler.setFormatter(TerminalFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
