"""`slotzero replay` as a command."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from log_lines import PUMP, SIGNATURE, Log, frame
from pump_event_bytes import MINT, USER, create_event
from slotzero.cli.replay import replay
from slotzero.errors import UsageError
from slotzero.venues.pumpfun import curve_address
from slotzero.venues.pumpfun.quote import USDC_MINT

app = typer.Typer()
app.command()(replay)


def stored(path: Path, **fields: object) -> Path:
    path.write_bytes(frame(Log().invoke(PUMP).data(create_event(**fields)).success().lines) + b"\n")
    return path


def test_json_is_one_document_with_everything_in_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(stored(tmp_path / "n.json")), "--json"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert set(document) == {"creations", "dropped", "frames"}
    assert (document["dropped"], document["frames"]) == ({}, 1)
    (creation,) = document["creations"]
    assert creation["mint"] == str(MINT)
    assert creation["pool"] == str(curve_address(MINT))
    assert creation["creator"] == creation["user"] == str(USER)
    assert (creation["symbol"], creation["signature"], creation["slot"]) == ("COIN", SIGNATURE, 436863945)
    assert creation["reserves"] == {
        "virtual_token": 1_073_000_000_000_000,
        "virtual_quote": 30_000_000_000,
        "real_token": 793_100_000_000_000,
        "real_quote": 0,
    }
    assert creation["quote_mint"] is None


def test_text_names_the_pool_and_shows_what_a_creator_wrote_as_a_literal(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(stored(tmp_path / "n.json", name="\x1b[2Jgone\n", symbol="S"))])
    assert result.exit_code == 0
    assert str(MINT) in result.stdout
    assert "30.000000000 SOL virtual" in result.stdout
    assert r"\x1b[2Jgone\n" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stdout.endswith("1 frame: 1 creation, dropped nothing\n")


def test_pool_priced_in_another_token_shows_which(tmp_path: Path) -> None:
    path = stored(tmp_path / "n.json", quote_mint=USDC_MINT, virtual_quote=4_292_000_000)
    assert f"4292000000 virtual, 0 real, of {USDC_MINT}" in CliRunner().invoke(app, [str(path)]).stdout


def test_nothing_but_drops_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "n.json"
    path.write_bytes(b'{"method":"x"}\n{')
    result = CliRunner().invoke(app, [str(path)])
    assert (result.exit_code, result.stdout) == (0, "2 frames: 0 creations, dropped 2 malformed_frame\n")


def test_missing_file_is_wrong_use(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "none")])
    assert isinstance(result.exception, UsageError)


@pytest.mark.parametrize("word", ["Example", "exit code"])
def test_help_has_an_example_and_the_exit_codes(word: str) -> None:
    assert word in CliRunner().invoke(app, ["--help"]).stdout
