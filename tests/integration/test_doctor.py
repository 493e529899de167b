"""`slotzero doctor`: what it finds of a chain that is there, of one that is not, and of a keystore others may read."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot_process import localnet
from slotzero.cli.main import app
from slotzero.clock import TestClock
from slotzero.trading.journal import HaltChanged, SqliteJournal
from slotzero.units import LamportsDelta
from slotzero.workloads.bot_run import PAPER
from trading_lab import buy_event


def doctor(*arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    findings = json.loads(result.stdout)["findings"]
    return result.exit_code, {finding["name"]: (finding["status"], finding["detail"]) for finding in findings}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def config(folder: Path, text: str) -> str:
    path = folder / "slotzero.toml"
    path.write_text(text)
    return str(path)


def test_defaults_are_in_order_and_live_trading_says_what_is_missing() -> None:
    code, found = doctor()
    assert code == 0
    assert found["disk"][0] == found["journal"][0] == found["endpoints"][0] == "ok"
    status, detail = found["live trading"]
    assert status == "warn"
    assert "trade_lamports, hour_lamports, day_lamports" in detail


def test_running_chain_answers_and_its_feed_is_heard(tmp_path: Path) -> None:
    with localnet("--launches-per-s", "5") as chain:
        text = f'[cluster]\nrpc_url = "{chain["rpc"]}"\nws_url = "{chain["ws"]}"\n'
        code, found = doctor("--config", config(tmp_path, text), "--feeds")
    assert code == 0
    assert found[chain["rpc"]][0] == "ok"
    assert found[chain["ws"]][0] == "ok"
    assert "0 slots" not in found[chain["ws"]][1]
    assert found["clock"][0] == "ok"


def test_endpoint_that_is_not_there_keeps_the_bot_from_trading(tmp_path: Path) -> None:
    text = '[cluster]\nrpc_url = "http://127.0.0.1:1/?api-key=hunter2"\nws_url = "ws://127.0.0.1:1"\n'
    code, found = doctor("--config", config(tmp_path, text), "--feeds")
    assert code == 1
    assert found["ws://127.0.0.1:1"][0] == "fail"
    assert [status for name, (status, _) in found.items() if name.startswith("http://127.0.0.1:1")] == ["fail"]
    assert "hunter2" not in json.dumps(found)


def test_keystore_others_may_read_is_told(tmp_path: Path) -> None:
    keystore = tmp_path / "keystore.json"
    keystore.write_text("{}")
    keystore.chmod(0o644)
    code, found = doctor("--config", config(tmp_path, f'[wallets]\nkeystore = "{keystore}"\n'))
    assert code == 1
    assert found["keystore"][0] == "fail"
    assert "chmod 600" in found["keystore"][1]


def test_keystore_in_a_folder_others_may_look_into_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    folder.chmod(0o755)
    keystore = folder / "keystore.json"
    keystore.write_text("{}")
    keystore.chmod(0o600)
    code, found = doctor("--config", config(tmp_path, f'[wallets]\nkeystore = "{keystore}"\n'))
    assert code == 1
    assert "chmod 700" in found["keystore"][1]


@pytest.mark.parametrize("halt", [{"killed": "by hand", "tripped": ""}, {"killed": "", "tripped": "equity fell"}])
@pytest.mark.parametrize("is_configured", [True, False])
def test_journal_that_lets_nothing_be_bought_is_told(tmp_path: Path, halt: dict[str, str], is_configured: bool) -> None:  # noqa: FBT001
    path = tmp_path / "state" / "slotzero" / "live" / "chain" / "journal.sqlite3"

    async def write() -> None:
        async with SqliteJournal(path, "chain", clock=TestClock()) as journal:
            await journal.append(HaltChanged(high_water=LamportsDelta(0), **halt))

    asyncio.run(write())
    text = f'[journal]\npath = "{path}"\n' if is_configured else ""
    _, found = doctor("--config", config(tmp_path, text))
    status, detail = found["journal"]
    assert status == "warn"
    assert (halt["killed"] or halt["tripped"]) in detail
    assert "slotzero panic --release" in detail


def test_what_a_paper_run_has_left_in_a_journal_is_no_matter_of_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"

    async def write() -> None:
        async with SqliteJournal(path, f"{PAPER}chain 1", clock=TestClock()) as journal:
            await journal.append(buy_event())
            await journal.append(HaltChanged(killed="tried out", tripped="", high_water=LamportsDelta(0)))

    asyncio.run(write())
    _, found = doctor("--config", config(tmp_path, f'[journal]\npath = "{path}"\n'))
    status, detail = found["journal"]
    assert status == "ok"
    assert "0 positions held, 0 intents" in detail
