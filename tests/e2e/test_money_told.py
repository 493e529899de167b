"""What live runs say of money between which wallets were swept and funded with the project's own commands."""

import json
import re
from pathlib import Path
from typing import Any

from bot_process import attached_config, finish, journal_events, localnet, run_commands, start_bot
from chain_judge import Rpc
from live_lab import LIMITS, LiveDesk
from slotzero.units import format_sol
from slotzero.workloads.bot_run import MOVED_OUTSIDE
from wallet_lab import address

SOL = 1_000_000_000
KEPT = SOL
CHAIN = ("--slot-ms", "50", "--launches-per-s", "4", "--trap-percent", "0", "--seed", "9")
TRADING = "[trade]\nbuy_lamports = 10_000_000\n[safety]\nbudget_ms = 5_000\n[exits]\nmax_hold_ms = 300\n"


def test_sweep_and_funding_between_live_runs_are_told_once_and_are_no_profit(tmp_path: Path) -> None:
    desk = LiveDesk.made(tmp_path)
    with localnet(*CHAIN) as chain:
        rpc, port = Rpc(chain["rpc"]), chain["rpc"].rsplit(":", 1)[1].strip("/")
        for wallet in desk.addresses:
            rpc("requestAirdrop", wallet, 10 * SOL)
        config = attached_config(tmp_path, chain, LIMITS + desk.wallets + TRADING)

        def run(*arguments: str) -> str:
            asked = ("--config", str(config), *desk.arguments, "--yes-i-mean-it", *arguments)
            code, out, err = finish(start_bot(*asked, state=tmp_path))
            assert code == 0, err
            return out

        def told(*arguments: str) -> dict[str, Any]:
            document: dict[str, Any] = json.loads(run("--json", *arguments))
            assert document["invariants"]["unexplained_lamports"] == 0
            assert document["pnl"]["run_lamports"] == document["wallet"]["change_lamports"]
            return document

        def held() -> int:
            balances = [rpc("getBalance", wallet, {"commitment": "confirmed"}) for wallet in desk.addresses]
            return sum(balance["value"] for balance in balances)

        def move(*command: str) -> int:
            """Run a wallet command; return what the wallets changed by."""
            before = held()
            options = ["--keystore", str(desk.keystore), "--password-file", str(desk.password)]
            at = [] if command[0] == "allow" else ["--port", port]
            ((code, _, err),) = run_commands([["wallet", *command, *options, *at]])
            assert code == 0, err
            return held() - before

        first = told("--until-closed", "2")
        assert first["wallet"]["moved_before_lamports"] == 0
        assert first["pnl"]["all_runs_lamports"] == first["pnl"]["run_lamports"]
        move("allow", str(address(77)))
        swept = move("sweep", str(address(77)), "--keep-lamports", str(KEPT))
        second = told("--until-closed", "1")
        funded = move("fund", "w0", "--lamports", str(3 * SOL))
        said = run("--for", "0.1")
        last = told("--for", "0.1")

    assert swept < -15 * SOL
    assert second["wallet"]["moved_before_lamports"] == swept
    assert {position["run"] for position in second["positions"]} == {"earlier", "this"}
    results = [document["pnl"]["run_lamports"] for document in (first, second)]
    assert second["pnl"]["all_runs_lamports"] == sum(results)
    assert funded > 0
    assert f"{format_sol(funded)[:-3]} SOL outside of trading before this run" in said
    (result,) = re.findall(r"PnL (\S+) SOL", said)
    assert f"changed by {result} SOL" in said
    assert last["wallet"]["moved_before_lamports"] == 0
    moves = [e for e in journal_events(tmp_path / "journal.sqlite3") if e.get("reason") == MOVED_OUTSIDE]
    assert sum(event["lamports_delta"] for event in moves) == swept + funded
