"""`slotzero run` as a user runs it: processes, documents, exit codes."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from bot_process import COMMAND, attached_config, finish, journal_events, localnet, start_bot, wait_for_event

ZERO = {"double_buys": 0, "lost_intents": 0, "unknown_open": 0, "unexplained_lamports": 0}


def run_to_document(*arguments: str, state: Path) -> dict[str, Any]:
    code, out, err = finish(start_bot(*arguments, "--json", state=state))
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def config(folder: Path, text: str) -> str:
    path = folder / "slotzero.toml"
    path.write_text(text)
    return str(path)


def test_run_until_three_closed_prints_the_document_of_the_contract(tmp_path: Path) -> None:
    document = run_to_document("--cluster", "localnet", "--until-closed", "3", "--seed", "7", state=tmp_path)

    assert document["invariants"] == ZERO
    snipes = document["snipes"]
    assert snipes["closed"] == 3
    assert [position["state"] for position in document["positions"]].count("closed") == 3
    assert {"freeze_authority", "transfer_fee"} <= set(snipes["rejected"]), "both traps are refused with their reason"
    assert sum(snipes["rejected"].values()) == len(document["refusals"])
    assert all(refusal["reason"] and refusal["detail"] for refusal in document["refusals"])
    for component in ("DETECTION", "HONEYPOT", "FILTERS", "EXECUTION", "FULL_FLOW", "POSITION_MONITOR", "EXIT"):
        assert set(document["latency_ms"][component]) == {"p50", "p95", "p99", "count"}

    wallet = document["wallet"]
    pnl = sum(position["pnl_lamports"] for position in document["positions"])
    assert document["pnl"]["run_lamports"] == wallet["change_lamports"], "PnL is the wallet's real balance change"
    if not snipes["failed"]:  # a failed buy costs its fee and belongs to no position
        assert pnl == wallet["change_lamports"]

    calls = document["rpc_calls"]
    assert calls["plan"] == 0, "no RPC call stands between a frame and signed bytes"
    assert calls["safety"] <= 2 * snipes["detected"]


def test_traps_rob_a_bot_without_a_gate(tmp_path: Path) -> None:
    text = (
        '[safety]\ngate = "none"\n[localnet]\ntrap_percent = 100\nlaunches_per_s = 2.0\n[exits]\nmax_hold_ms = 2500\n'
        "[trade]\nmax_open_positions = 10\n"
    )
    document = run_to_document("--config", config(tmp_path, text), "--for", "8", "--seed", "3", state=tmp_path)

    assert document["invariants"] == ZERO
    assert document["snipes"]["bought"] >= 2
    frozen = [p for p in document["positions"] if p["state"] == "stuck" and "AccountFrozen" in p["reason"]]
    robbed = [
        p for p in document["positions"] if -p["pnl_lamports"] > p["quoted_lamports"] * 8 // 10 and p not in frozen
    ]
    assert frozen, "the freeze trap keeps what was bought"
    assert all(-p["pnl_lamports"] > p["quoted_lamports"] for p in frozen)
    assert robbed, "the fee trap lets go of a tenth at most"
    assert {p["state"] for p in robbed} == {"closed"}


def test_same_coins_are_refused_by_the_default_gate(tmp_path: Path) -> None:
    text = (
        "[localnet]\ntrap_percent = 100\nlaunches_per_s = 3.0\n[safety]\nbudget_ms = 5_000\n"  # on a busy machine, too
    )
    document = run_to_document("--config", config(tmp_path, text), "--for", "5", "--seed", "3", state=tmp_path)

    assert document["snipes"]["bought"] == 0
    assert set(document["snipes"]["rejected"]) <= {"freeze_authority", "transfer_fee"}
    assert document["wallet"]["change_lamports"] == 0


def test_rival_in_front_makes_a_buy_fail_by_slippage_and_cost_its_fee_alone(tmp_path: Path) -> None:
    text = (
        "[localnet]\ntrap_percent = 0\nlaunches_per_s = 6.0\n[trade]\nmax_open_positions = 50\n"
        "[exits]\nmax_hold_ms = 500\n"
    )
    document = run_to_document("--config", config(tmp_path, text), "--for", "10", "--seed", "7", state=tmp_path)

    assert document["snipes"]["failures"].get("TooMuchSolRequired", 0) >= 1
    assert document["invariants"] == ZERO
    assert document["pnl"]["run_lamports"] == document["wallet"]["change_lamports"], "the failed buys' fees included"


def test_interrupt_sells_what_is_held_and_prints_what_it_has(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite3"
    with localnet("--seed", "5", "--launches-per-s", "2", "--trap-percent", "0") as chain:
        bot = start_bot("--config", str(attached_config(tmp_path, chain)), "--json", state=tmp_path)
        wait_for_event(bot, journal, "IntentLanded", "buy", timeout_s=40)
        bot.send_signal(signal.SIGINT)
        code, out, err = finish(bot)

    assert code == 130
    assert "Traceback" not in err
    document = json.loads(out)
    assert document["invariants"] == ZERO
    assert all(position["state"] == "closed" for position in document["positions"])


def test_second_interrupt_ends_at_once_and_the_journal_keeps_the_position(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite3"
    with localnet("--seed", "5", "--slot-ms", "3000", "--launches-per-s", "2", "--trap-percent", "0") as chain:
        bot = start_bot("--config", str(attached_config(tmp_path, chain)), "--json", state=tmp_path)
        wait_for_event(bot, journal, "IntentLanded", "buy", timeout_s=40)
        bot.send_signal(signal.SIGINT)
        wait_for_event(bot, journal, "IntentSigned", "sell", timeout_s=20)
        bot.send_signal(signal.SIGINT)
        code, out, err = finish(bot)

    assert code == 130
    assert out == ""
    assert "Traceback" not in err
    last = {event["intent"]: event["event"] for event in journal_events(journal) if "intent" in event}
    assert "IntentUnknown" in last.values(), "the sell under way is named unknown, not forgotten"


def test_chain_that_dies_ends_the_run_with_one_sentence(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite3"
    with localnet("--seed", "5", "--launches-per-s", "2", "--trap-percent", "0") as chain:
        bot = start_bot("--config", str(attached_config(tmp_path, chain)), "--json", state=tmp_path)
        wait_for_event(bot, journal, "IntentLanded", "buy", timeout_s=40)
        os.kill(chain["pid"], signal.SIGKILL)
        code, out, err = finish(bot)

    assert code == 1
    assert out == ""
    assert "Traceback" not in err
    assert "no connection for 10 s; positions are in the journal" in " ".join(err.split())


def test_live_trading_without_limits_and_endpoints_says_what_is_missing_and_signs_nothing(tmp_path: Path) -> None:
    code, out, err = finish(start_bot("--cluster", "live", state=tmp_path))

    assert (code, out) == (2, "")
    assert "rpc_url and ws_url are not set" in err
    assert "trade_lamports, hour_lamports, day_lamports" in err
    assert len(err.splitlines()) == 1


def test_unknown_key_is_refused_with_its_path(tmp_path: Path) -> None:
    path = config(tmp_path, "[trade]\nbuy_lamport = 5\n[exits]\nstop_loss_bps = 'x'\n")
    code, out, err = finish(start_bot("--config", path, state=tmp_path))

    assert (code, out) == (2, "")
    assert "2 problems" in err
    assert "trade.buy_lamport" in err
    assert "exits.stop_loss_bps" in err
    assert "Traceback" not in err


def test_foreign_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite3"
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        connection.execute("CREATE TABLE cats (name)")
    before = journal.read_bytes()
    code, out, err = finish(start_bot("--config", config(tmp_path, f'[journal]\npath = "{journal}"\n'), state=tmp_path))

    assert (code, out) == (1, "")
    assert "no slotzero journal" in err
    assert "Traceback" not in err
    assert journal.read_bytes() == before


def test_port_in_use_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run([*COMMAND, "localnet", "--port", str(port)], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stdout == ""
    assert str(port) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@contextlib.contextmanager
def foreign_cluster() -> Iterator[str]:
    """A node that answers like any other cluster's."""

    class Node(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(
                {"jsonrpc": "2.0", "id": 1, "result": {"solana-core": "4.2.0", "feature-set": 1}}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Node)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_nothing_is_signed_for_a_cluster_that_is_no_localnet(tmp_path: Path) -> None:
    with foreign_cluster() as url:
        endpoints = {"rpc": url, "ws": url.replace("http", "ws")}
        code, out, err = finish(start_bot("--config", str(attached_config(tmp_path, endpoints)), state=tmp_path))

    assert (code, out) == (2, "")
    assert "is no slotzero localnet" in err
    assert not (tmp_path / "journal.sqlite3").exists()
