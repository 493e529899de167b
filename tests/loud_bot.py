"""The bot with everything said aloud: every log record down to DEBUG, its metrics written down, perhaps a crash.

python loud_bot.py METRICS_FILE never|crash run --config ...
"""

import asyncio
import atexit
import faulthandler
import logging
import sys
from pathlib import Path
from typing import Any

from slotzero.cli.main import main
from slotzero.clock import SystemClock
from slotzero.observe import session
from slotzero.observe.bot import BotFeed
from slotzero.observe.exporter import negotiated
from slotzero.observe.metrics import Registry
from slotzero.trading.pool_watch import PoolWatch
from slotzero.workloads.targets import TARGETS

_BUG_AFTER = 4


def loud(_console: object) -> None:
    """Log everything, of libraries too, with the traceback of whatever carries one."""
    logging.basicConfig(
        level=logging.DEBUG,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    logging.getLogger("asyncio").setLevel(logging.DEBUG)


def watch(page: Path) -> None:
    """Feed the metrics while the bot runs, and write the page down at the end."""
    registry = Registry()
    feed = BotFeed(registry, targets=TARGETS, clock=SystemClock())
    on_engine = session._Session._on_engine

    def noted(run: Any, engine: Any) -> None:
        on_engine(run, engine)
        task = asyncio.get_running_loop().create_task(
            feed.run(lambda: engine.report() if engine.has_started else None), name="metrics"
        )
        kept.append(task)

    kept: list[object] = []
    session._Session._on_engine = noted  # type: ignore[assignment,method-assign]
    atexit.register(_write_down, registry, page)


def _write_down(registry: Registry, page: Path) -> None:
    with page.open("ab") as file:
        for kind in ("", "application/openmetrics-text"):
            file.write(negotiated(registry, kind)[0])


def plant_bug() -> None:
    """The fourth state of a pool is one too many."""
    take, count = PoolWatch._take, 0

    def buggy(watching: PoolWatch, data: bytes, *more: Any) -> None:
        nonlocal count
        count += 1
        if count == _BUG_AFTER:
            faulthandler.dump_traceback(sys.stderr)
            raise RuntimeError("a bug, planted")
        take(watching, data, *more)

    PoolWatch._take = buggy  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    _, page, crash, *arguments = sys.argv
    session._configure_logging = loud  # type: ignore[assignment]
    watch(Path(page))
    if crash == "crash":
        plant_bug()
    sys.argv = ["slotzero", *arguments]
    main()
