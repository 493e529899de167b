"""`slotzero replay` on real frames and transactions, against an independent reading of the same JSON."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from log_lines import STRANGER
from mainnet_documents import CREATE, PUMP, TRADE, Created, Document
from slotzero.cli.replay import replay
from slotzero.detection import Detector, decode_trades, replay_file
from slotzero.units import MonoNs
from slotzero.venues.pumpfun import curve_address
from slotzero.venues.registry import PUMPFUN

pytestmark = pytest.mark.fixtures

LOGS = ["logsNotification_0_4zGWmZL3.json", "logsNotification_3_3Mqiigwn.json", "logsNotification_4_2J2sAxyT.json"]
CREATIONS = [
    "create_v2_0_4zGWmZL3.json",
    "create_v2_3_3Mqiigwn.json",
    "create_v2_4_2J2sAxyT.json",
    "create_v2_and_buy_completes_curve_2026-10-06_43xbmthG.json",
    "raw_create_tx_from_blocksubscribe_2026-07.json",
    "raw_create_tx_from_gettransaction_2026-07.json",
    "raw_create_tx_from_blocksubscribe_2024-08.json",
    "raw_create_tx_from_gettransaction_2024-08.json",
]
NO_CREATION = [
    "migrate_v2_0_2gnwLFJB.json",
    "migrate_v2_1_5bkaeFdR.json",
    "migrate_v2_2_4sQfojPs.json",
    "pumpfun_direct_tx_2025-07.json",
    "raw_buy_tx_from_gettransaction_2024-08.json",
    "raw_buy_tx_from_gettransaction_2026-07.json",
    "v1_format_buy_2026-09-23_5EpHwV2y.json",
]
app = typer.Typer()
app.command()(replay)


def folder(fixtures: Path) -> Path:
    return fixtures / "transactions" / "pumpfun"


def printed(path: Path) -> dict[str, object]:
    result = CliRunner().invoke(app, [str(path), "--json"])
    assert result.exit_code == 0, result.output
    document: dict[str, object] = json.loads(result.stdout)
    return document


def expected(document: Document) -> dict[str, object]:
    """What must be printed of a creating transaction: its CreateEvent, and the reserves its TradeEvent left."""
    created = Created(document.events(CREATE)[0])
    (trade,) = document.events(TRADE)
    virtual_quote, virtual_token, real_quote, real_token = (
        int.from_bytes(trade[at : at + 8], "little") for at in (97, 105, 113, 121)
    )
    return {
        "mint": created.mint,
        "pool": created.curve,
        "creator": created.creator,
        "user": created.user,
        "name": created.name,
        "symbol": created.symbol,
        "uri": created.uri,
        "creator_bought": int.from_bytes(trade[48:56], "little"),
        "reserves": {
            "virtual_token": virtual_token,
            "virtual_quote": virtual_quote,
            "real_token": real_token,
            "real_quote": real_quote,
        },
    }


def only_creation(document: dict[str, object]) -> dict[str, object]:
    assert document["dropped"] == {}
    assert document["frames"] == 1
    creations = document["creations"]
    assert isinstance(creations, list)
    (creation,) = creations
    assert isinstance(creation, dict)
    return creation


def test_every_stored_notification_is_tested(mainnet_fixtures: Path) -> None:
    assert sorted(path.name for path in (folder(mainnet_fixtures) / "logs").iterdir()) == LOGS


@pytest.mark.parametrize("name", LOGS)
def test_notification_prints_what_its_transaction_did(mainnet_fixtures: Path, name: str) -> None:
    sibling = Document(folder(mainnet_fixtures) / name.replace("logsNotification", "create_v2"))
    creation = only_creation(printed(folder(mainnet_fixtures) / "logs" / name))
    assert creation == creation | expected(sibling)
    assert creation["pool"] == str(curve_address(PUMPFUN.decode_creation(sibling.events(CREATE)[0]).mint))
    notification = json.loads((folder(mainnet_fixtures) / "logs" / name).read_text())["params"]["result"]
    assert creation["signature"] == notification["value"]["signature"]
    assert creation["slot"] == notification["context"]["slot"]


@pytest.mark.parametrize("name", LOGS)
def test_live_path_and_thorough_path_see_the_same_pool(mainnet_fixtures: Path, name: str) -> None:
    frame = (folder(mainnet_fixtures) / "logs" / name).read_bytes().strip()
    live, thorough = Detector([PUMPFUN]), Detector([PUMPFUN], verifies_pools=True)
    assert live.on_frame(frame, MonoNs(1)) == thorough.examine(frame, MonoNs(1)) != []
    assert live.stats == thorough.stats
    (trade,) = decode_trades(frame, PUMPFUN, MonoNs(1))
    assert trade.reserves == live.on_frame(frame.replace(b'"signature":"', b'"signature":"x'), MonoNs(1))[0].reserves


@pytest.mark.parametrize("name", CREATIONS)
def test_transaction_prints_its_creation_in_every_encoding(mainnet_fixtures: Path, name: str) -> None:
    creation = only_creation(printed(folder(mainnet_fixtures) / name))
    assert creation == creation | expected(Document(folder(mainnet_fixtures) / name))


@pytest.mark.parametrize("name", CREATIONS)
def test_transaction_without_inner_instructions_gives_the_same_from_its_log(
    mainnet_fixtures: Path, tmp_path: Path, name: str
) -> None:
    document = json.loads((folder(mainnet_fixtures) / name).read_text())
    document.get("result", document)["meta"]["innerInstructions"] = None
    (tmp_path / name).write_text(json.dumps(document))
    assert printed(tmp_path / name) == printed(folder(mainnet_fixtures) / name)


@pytest.mark.parametrize("name", NO_CREATION)
def test_transaction_without_a_creation_prints_none_and_drops_none(mainnet_fixtures: Path, name: str) -> None:
    assert printed(folder(mainnet_fixtures) / name) == {"creations": [], "dropped": {}, "frames": 1}


def test_failed_transaction_is_dropped_with_its_reason(mainnet_fixtures: Path) -> None:
    path = folder(mainnet_fixtures) / "failed_bot_tx_custom3_4b4oY4qd.json"
    assert printed(path) == {"creations": [], "dropped": {"failed_transaction": 1}, "frames": 1}


@pytest.mark.parametrize("name", LOGS)
def test_same_lines_under_another_program_are_forged(mainnet_fixtures: Path, tmp_path: Path, name: str) -> None:
    text = (folder(mainnet_fixtures) / "logs" / name).read_text()
    forged = tmp_path / name
    forged.write_text(text.replace(f"Program {PUMP}", f"Program {STRANGER}"))
    assert printed(forged) == {"creations": [], "dropped": {"forged_event": 1}, "frames": 1}


@pytest.mark.parametrize("name", CREATIONS[:3])
def test_same_call_to_another_program_is_forged(mainnet_fixtures: Path, tmp_path: Path, name: str) -> None:
    document = json.loads((folder(mainnet_fixtures) / name).read_text())
    for keys in (
        document["result"]["transaction"]["message"]["accountKeys"],
        document["result"]["meta"]["loadedAddresses"]["readonly"],
    ):
        keys[:] = [STRANGER if key == PUMP else key for key in keys]
    (tmp_path / name).write_text(json.dumps(document))
    assert printed(tmp_path / name) == {"creations": [], "dropped": {"forged_event": 1}, "frames": 1}


def test_notification_of_a_failure_is_dropped_with_its_reason(mainnet_fixtures: Path, tmp_path: Path) -> None:
    text = (folder(mainnet_fixtures) / "logs" / LOGS[0]).read_text()
    (tmp_path / "failed.json").write_text(text.replace('"err":null', '"err":{"InstructionError":[3,{"Custom":3}]}'))
    assert printed(tmp_path / "failed.json")["dropped"] == {"failed_transaction": 1}


def test_wrong_discriminator_and_cut_frame_are_counted(mainnet_fixtures: Path, tmp_path: Path) -> None:
    text = (folder(mainnet_fixtures) / "logs" / LOGS[0]).read_text().strip()
    (tmp_path / "wrong.json").write_text(text.replace("Program data: G3KpTd7rY3", "Program data: G3KpTd7rY4"))
    (tmp_path / "cut.json").write_text(text[:5_000])
    assert printed(tmp_path / "wrong.json")["dropped"] == {"malformed_event": 1}
    assert printed(tmp_path / "cut.json")["dropped"] == {"malformed_frame": 1}


def test_feed_of_lines_gives_every_pool_once(mainnet_fixtures: Path, tmp_path: Path) -> None:
    frames = [(folder(mainnet_fixtures) / "logs" / name).read_text().strip() for name in LOGS]
    transactions = [json.dumps(json.loads((folder(mainnet_fixtures) / name).read_text())) for name in CREATIONS]
    (tmp_path / "feed.ndjson").write_text("\n".join(frames + transactions) + "\n")
    report = replay_file(tmp_path / "feed.ndjson")
    assert len(report.creations) == len(CREATIONS)
    assert {str(reason): count for reason, count in report.dropped.items()} == {"duplicate": 3}
    assert report.frames == len(LOGS) + len(CREATIONS)
