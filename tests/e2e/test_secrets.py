"""A full live run on a loopback chain, in which nothing that is written or said holds a key, a password or a token."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from chain_judge import judge
from live_lab import LIMITS, LiveDesk, cluster_of
from slotzero.control.records import Request
from stage_chain import SOL, Stage, staged_chain
from staged_bot import StagedBot, bot_config

LOUD_BOT = Path(__file__).parent.parent / "loud_bot.py"
TRADING = f"""
{LIMITS}
[trade]
buy_lamports = 100_000_000
max_open_positions = 20
[exits]
max_hold_ms = 60_000
take_profit_bps = 1_000_000
[filters]
min_liquidity_lamports = 500_000_000
[safety]
budget_ms = 5_000
"""


def start(desk: LiveDesk, config: Path, *, crash: str = "never") -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            *(sys.executable, "-X", "dev", "-W", "default", str(LOUD_BOT), str(desk.folder / "metrics"), crash),
            *("run", "--config", str(config), *desk.arguments, "--yes-i-mean-it", "--json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "XDG_STATE_HOME": str(desk.folder), "NO_COLOR": "1"},
    )


def trade(stage: Stage, bot: StagedBot) -> list[bytes]:
    """A snipe, a refusal, an endpoint that dies and comes back, a close by hand. Returns what the socket said."""
    said = [msgspec.json.encode(bot.status())]
    mint = stage.launch("FIRST")
    said.append(msgspec.json.encode(bot.holds(mint)))
    stage.launch("TOLL", kind="trap_fee")
    bot.refuses(2)
    stage.rpc("slotzero_stopPort")
    bot.buys_again(stage, "SECOND")
    stage.rpc("slotzero_startPort")
    position = bot.position(mint)
    assert position is not None
    said.append(msgspec.json.encode(bot.client.ask(Request(command="close", position=position.id))))
    bot.ends(mint, "closed")
    return said


def found_in(desk: LiveDesk, texts: dict[str, bytes], *, tokens: bool = True) -> list[str]:
    secrets = {name: form for name, form in desk.secrets.items() if tokens or "token" not in name}
    return [f"{name} in {where}" for where, text in texts.items() for name, form in secrets.items() if form in text]


def files_below(folder: Path, *but: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path not in but}


def test_full_live_run_writes_and_says_no_secret(tmp_path: Path) -> None:
    desk = LiveDesk.made(tmp_path)
    with staged_chain(slot_ms=50) as stage:
        desk.fund(stage)
        config = bot_config(tmp_path, stage, TRADING + desk.wallets, cluster=cluster_of(stage))
        process = start(desk, config)
        try:
            bot = StagedBot(process, tmp_path)
            of_process = {name: Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")}
            bot.listens(stage)
            said = trade(stage, bot)
            bot.client.close()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 130, err.decode()[-3_000:]
        document = msgspec.json.decode(out)
        assert document["environment"]["cluster"] == "live"
        assert document["snipes"]["bought"] >= 2
        assert document["invariants"]["unexplained_lamports"] == 0
        assert not judge(stage.endpoints["rpc"], desk.addresses).faults
        assert {wallet["address"] for wallet in document["wallets"]} == set(desk.addresses)

        crashed = start(desk, config, crash="crash")
        try:
            bot = StagedBot(crashed, tmp_path)
            bot.listens(stage)
            mints = bot.buys_again(stage, "THIRD")
            for rival in range(8):  # the states of what it holds are what the planted bug waits for
                for mint in mints:
                    stage.buy(mint, SOL // 10, rival=rival)
            bot.client.close()
            _, dump = crashed.communicate(timeout=60)
        finally:
            crashed.kill()
            crashed.wait()
        assert crashed.returncode == 1

    assert b"DEBUG" in err, "the run was loud"
    assert b"listening again" in err, "the lost endpoint was told of"
    assert b"a bug, planted" in dump
    assert b"Traceback" in dump
    assert b"bot_endpoint" in (tmp_path / "metrics").read_bytes()
    spoken = {"stdout": out, "stderr": err, "crash": dump, **{f"control {n}": text for n, text in enumerate(said)}}
    assert found_in(desk, spoken) == []
    assert found_in(desk, of_process) == []
    written = files_below(tmp_path, config, desk.password)
    assert str(bot.journal) in written
    assert found_in(desk, written) == []
    assert found_in(desk, {"config": config.read_bytes()}, tokens=False) == []


def test_search_finds_what_is_there(tmp_path: Path) -> None:
    desk = LiveDesk.made(tmp_path)
    assert len(found_in(desk, {"all": b"\n".join(desk.secrets.values())})) == len(desk.secrets)
