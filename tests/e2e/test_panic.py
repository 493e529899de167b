"""The kill switch with a hundred snipes in flight: what the chain receives after it, and what is left."""

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from bot_process import COMMAND, kill
from chain_judge import holdings, judge
from slotzero.clock import mono_ns as now_ns
from slotzero.clock import ms
from slotzero.control.records import Request, Status
from stage_chain import Stage, staged_chain
from staged_bot import StagedBot, bot_config, running_bot, within
from trading_lab import mint_in, trade_in

IN_FLIGHT = 100
ON_THE_WIRE_MS = 200
"""What was in a socket when the switch was put on is still received, by a chain that is busy."""
SOLD_WITHIN_MS = 5_000
TRADING = """
[trade]
buy_lamports = 10_000_000
max_open_positions = 400
[limits]
snipes_in_flight = 400
[exits]
max_hold_ms = 600_000
take_profit_bps = 1_000_000
stop_loss_bps = 9_000
[filters]
min_liquidity_lamports = 500_000_000
[safety]
budget_ms = 10_000
[orders]
rebroadcast_ms = 100
status_poll_ms = 200
"""


def panic(bot: StagedBot, *arguments: str) -> tuple[int, dict[str, Any]]:
    """`slotzero panic` as a person types it."""
    done = subprocess.run(
        [*COMMAND, "panic", "--json", "--bot", str(bot.process.pid), *arguments],
        env={**os.environ, "XDG_STATE_HOME": str(bot.folder), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def freeze(stage: Stage, wallet: str, mint: str) -> None:
    """Freeze the wallet's tokens of `mint`, as its freeze authority could."""
    options = {"encoding": "base64", "commitment": "processed"}
    (row,) = stage.rpc("getTokenAccountsByOwner", wallet, {"mint": mint}, options)["value"]
    data = bytearray(base64.b64decode(row["account"]["data"][0]))
    data[108] = 2
    account = {"lamports": row["account"]["lamports"], "owner": row["account"]["owner"]}
    stage.rpc("slotzero_setAccount", row["pubkey"], {**account, "data": base64.b64encode(data).decode()})


class Launching:
    """Launches a coin every 15 ms until told to stop."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._stop, self.count = stage, Event(), 0
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.015):
            self._stage.launch(f"COIN{self.count}")
            self.count += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def in_flight(status: Status) -> int:
    return status.buys_under_way + sum(position.state == "open" for position in status.positions)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged_chain(slot_ms=50) as stage:
        yield stage


def test_panic_with_a_hundred_in_flight_buys_nothing_more_and_sells_everything(tmp_path: Path, stage: Stage) -> None:
    config = bot_config(tmp_path, stage, TRADING)
    with running_bot(tmp_path, config) as bot:
        bot.listens(stage)
        launching = Launching(stage)
        try:
            within(30, lambda: True if in_flight(bot.status()) >= IN_FLIGHT else None, "100 in flight")
            held = next(position for position in bot.status().positions if position.state == "open")
            freeze(stage, held.wallet, held.mint)
            began = bot.client.ask(Request(command="panic", reason="a test"))
            at = now_ns()
            assert began.halted == "a test"
            assert in_flight(began) >= IN_FLIGHT
            code, seen = panic(bot)
        finally:
            launching.stop()
        time.sleep(0.5)  # what is sent again would be by now
        ours = [row for row in stage.received() if row.payer == held.wallet]
        trades = [(row.at - at, trade_in(row.raw), mint_in(row.raw)) for row in ours]
        assert sum(trade.side == "buy" for _, trade, _ in trades) >= IN_FLIGHT
        late = [after for after, trade, _ in trades if trade.side == "buy" and after > ms(ON_THE_WIRE_MS)]
        assert late == [], f"buys that came in so many ns after the switch: {late}"
        assert launching.count > in_flight(began), "there was more to buy"
        assert seen["refused"].keys() & {"kill_switch", "halted"}

        left = [position for position in seen["positions"] if position["state"] != "closed"]
        assert [position["mint"] for position in left] == [held.mint], "the one that cannot be sold"
        assert "AccountFrozen" in left[0]["reason"], "and why is shown"
        assert (code, seen["buys_under_way"]) == (1, 0)
        assert set(holdings(stage.rpc, held.wallet)) == {held.mint}
        sold = [after for after, trade, mint in trades if trade.side == "sell" and mint != held.mint]
        assert len(sold) >= IN_FLIGHT - 1
        assert max(sold) < ms(SOLD_WITHIN_MS)
        kill(bot.process)

    with running_bot(tmp_path, config) as bot:
        assert bot.status().halted == "a test", "it is on after a kill -9 and a restart"
        before = bot.listens(stage)
        refused = stage.launch("AFTER")
        assert bot.refuses(before + 1).refused.keys() & {"kill_switch", "halted"}
        code, seen = panic(bot, "--release")
        assert (code, seen["halted"]) == (0, "")
        bot.holds(stage.launch("AGAIN"))
        assert bot.position(refused) is None
        document, _ = bot.finish(by=signal.SIGINT)
    assert document["invariants"]["unexplained_lamports"] == 0
    assert judge(stage.endpoints["rpc"], [held.wallet]).double_buys == 0
