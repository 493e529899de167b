"""The engine on a recorded feed: the same recording, configuration and seeds give the same journal, byte for byte.

Time is the recording's and jumps from one event to the next; ids come from a seed; the journal is written in the loop's
own thread; no socket is opened. What decides is the real engine, and fills are computed as on paper.
"""

import asyncio
import functools
import hashlib
import tempfile
from pathlib import Path
from random import Random

from msgspec import Struct, structs

from slotzero.clock import as_ms, elapsed_ns
from slotzero.config import Settings
from slotzero.errors import UsageError
from slotzero.trading.identities import SeededIdentities
from slotzero.trading.paper.recorded import (
    Chronicle,
    RecordedPubSub,
    RecordedRpc,
    RecordingIndex,
    index_recording,
)
from slotzero.trading.paper.serial_journal import SerialJournal
from slotzero.units import WallNs
from slotzero.virtual_time import VirtualClock, VirtualLoop
from slotzero.workloads.bot_run import BotRun, Cluster
from slotzero.workloads.paper_run import PaperParts, trade_on_paper

__all__ = ["TradedReplay", "replay_trading"]

_MS_PER_S = 1_000


class TradedReplay(Struct, frozen=True, kw_only=True):
    """A replay.

    Attributes:
        run: What the engine did.
        index: What the recording holds.
        journal_sha256: The digest of the journal's file: equal for equal replays.
    """

    run: BotRun
    index: RecordingIndex
    journal_sha256: str


def replay_trading(settings: Settings, path: Path, *, journal: Path | None = None) -> TradedReplay:
    """Trade a recording. Runs an event loop of its own. *Does I/O.*

    Args:
        settings: The configuration; of `[cluster]` and `[journal]` nothing is used.
        path: The recording.
        journal: Where to keep the journal; None = nowhere.

    Raises:
        UsageError: A file cannot be read or exists already, or the configuration asks for the network.
        SlotzeroError: The recording is damaged.
    """
    if settings.filters.require_socials:
        raise UsageError(
            "[filters] require_socials asks hosts on the network, which a replay does not; set it to false to replay"
        )
    if journal is not None and journal.exists():
        raise UsageError(f"{journal} exists and is not overwritten; name another file with --journal")
    index = index_recording(path)
    with tempfile.TemporaryDirectory(prefix="slotzero-replay-") as folder:
        file = journal or Path(folder) / "journal.sqlite3"
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            run = runner.run(_trade(settings, path, index, file))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if journal is None:
            run = structs.replace(run, journal="")  # it ends with its folder
    return TradedReplay(run=run, index=index, journal_sha256=digest)


async def _trade(settings: Settings, path: Path, index: RecordingIndex, journal: Path) -> BotRun:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "a replay needs a time of its own"
    header = index.header
    passed = elapsed_ns(header.at, index.ready_at)
    clock = VirtualClock(loop, mono_ns=index.ready_at, wall_ns=WallNs(header.wall_ns + passed))
    chronicle = Chronicle(path, index)
    parts = PaperParts(
        cluster=Cluster(
            name="replay",
            rpc=(),
            ws=("ws://recording.invalid",),  # for a client that opens nothing
            slot_ms=None,
            silent_after_ms=None,
            seed=settings.localnet.seed,
        ),
        upstream=RecordedRpc(chronicle, clock=clock),
        open_pubsub=functools.partial(RecordedPubSub, chronicle=chronicle),
        clock=clock,
        identities=SeededIdentities(Random(settings.localnet.seed)),  # noqa: S311 what makes two replays equal
        genesis=header.genesis,
        is_replay=True,
    )
    book = SerialJournal(journal, f"replay {header.genesis}", clock=clock)
    lasts_s = as_ms(elapsed_ns(index.ready_at, index.ended_at)) / _MS_PER_S
    return await trade_on_paper(settings, parts, book, for_s=max(lasts_s, 0.001))
