"""Paper trading, recording and replaying as a user does it: the tutorial's own commands against a chain on loopback."""

import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time
import tomllib
from base64 import b64decode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from solders.compute_budget import ID as COMPUTE_BUDGET
from solders.transaction import VersionedTransaction
from typer.testing import CliRunner

from bot_process import COMMAND, finish, journal_events, localnet
from chain_judge import Rpc
from slotzero.cli.main import app
from slotzero.config import load, parse
from slotzero.detection.recording import Ended, FrameRead, read_lines
from slotzero.errors import MalformedError, TransportError, UsageError
from slotzero.observe.recording_session import record_session
from slotzero.observe.session import with_seed
from slotzero.workloads.replay_run import replay_trading

TUTORIAL = (Path(__file__).resolve().parents[2] / "docs/tutorials/from-localnet-to-paper.md").read_text()
LINES = [
    line
    for block in re.findall(r"```console\n(.*?)```", TUTORIAL, flags=re.DOTALL)
    for line in block.splitlines()
    if line
]
CONFIGS = re.findall(r"```toml\n(.*?)```", TUTORIAL, flags=re.DOTALL)
RUN_S = 5
ZERO = {"double_buys": 0, "lost_intents": 0, "unknown_open": 0, "unexplained_lamports": 0}


class CountingProxy:
    """Hands JSON-RPC on to a chain and counts the methods it is asked for."""

    def __init__(self, port: int) -> None:
        self.methods: Counter[str] = Counter()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                call = json.loads(body)
                proxy.methods.update(one["method"] for one in (call if isinstance(call, list) else [call]))
                upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                upstream.request("POST", "/", body, {"Content-Type": "application/json"})
                answer = upstream.getresponse().read()
                upstream.close()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Session:
    """What the tutorial's commands have left behind."""

    folder: Path
    methods: Counter[str]
    executed: set[str]
    wallet_history: list[object] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)
    recorded: str = ""
    interrupted: tuple[int, str, str] = (0, "", "")
    replays: list[dict[str, Any]] = field(default_factory=list)
    doctor: str = ""

    @property
    def recording(self) -> Path:
        return self.folder / "feed.ndjson.gz"


def command(beginning: str, session: Session) -> list[str]:
    """Return a command of the tutorial; half a minute of it is cut short."""
    (line,) = [line for line in LINES if line.startswith(beginning)]
    session.executed.add(line)
    words = shlex.split(line)
    if "--for" in words:
        words[words.index("--for") + 1] = str(RUN_S)
    assert words[0] == "slotzero"
    return words[1:]


def start(session: Session, words: Sequence[str], **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *words],
        cwd=session.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "XDG_STATE_HOME": str(session.folder / "state"), "NO_COLOR": "1", **environment},
    )


def ok(process: subprocess.Popen[bytes]) -> str:
    code, out, err = finish(process)
    assert code == 0, err
    return out


def interrupt(recording: subprocess.Popen[bytes], session: Session) -> tuple[int, str, str]:
    """Wait until a recorder records, and press Ctrl-C."""
    path = session.folder / "cut.ndjson"
    deadline = time.monotonic() + 30  # noqa: TID251 a test waits for another process
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline, "nothing was recorded"  # noqa: TID251
        time.sleep(0.02)
    recording.send_signal(signal.SIGINT)
    return finish(recording)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Go through the tutorial once."""
    folder = tmp_path_factory.mktemp("tutorial")
    session = Session(folder=folder, methods=Counter(), executed=set())
    words = command("slotzero localnet", session)[1:]
    with localnet(*words, "--slot-ms", "100", "--trap-percent", "20") as chain:
        proxy = CountingProxy(chain["port"])
        session.methods = proxy.methods
        text = CONFIGS[0].replace("http://127.0.0.1:8899", f"http://127.0.0.1:{proxy.port}")
        (folder / "paper.toml").write_text(text.replace("ws://127.0.0.1:8899", f"ws://127.0.0.1:{chain['port']}"))
        recording = start(session, command("slotzero record", session))
        running = start(session, [*command("slotzero run", session), "--json"])
        counted = start(session, ["record", "counted.ndjson", "--config", "paper.toml", "--frames", "3"])
        session.interrupted = interrupt(start(session, ["record", "cut.ndjson", "--config", "paper.toml"]), session)
        ok(counted)
        session.recorded = ok(recording)
        session.run = json.loads(ok(running))
        options = {"limit": 1_000, "commitment": "confirmed"}
        session.wallet_history = Rpc(chain["rpc"])("getSignaturesForAddress", session.run["wallet"]["address"], options)
        looking = start(session, command("slotzero doctor", session))
        replay = command("slotzero replay", session)
        for number in range(2):
            extra = ("--json", "--journal", f"replay-{number}.sqlite3")
            session.replays.append(json.loads(ok(start(session, [*replay, *extra], PYTHONHASHSEED=str(number)))))
        session.doctor = ok(looking)
        proxy.close()
    return session


# ---- paper ---------------------------------------------------------------------------------------------------------


def test_paper_run_sends_no_transaction(session: Session) -> None:
    assert session.run["snipes"]["bought"] >= 1
    assert session.run["paper"]["sends"] >= 2
    changing = {name for name in session.methods if name.startswith(("send", "request", "simulate", "slotzero_"))}
    assert not changing, "not even a simulation leaves the process"
    assert session.methods["getMultipleAccounts"] > 0, "the proxy was asked at all"
    assert session.wallet_history == [], "the chain has never seen the wallet"
    assert session.run["paper"]["transactions_sent"] == 0


def test_paper_document_says_what_it_is_and_its_books_are_balanced(session: Session) -> None:
    run = session.run
    assert run["environment"]["cluster"] == "paper"
    assert run["invariants"] == ZERO
    assert run["paper"]["fills"] == "fork"
    assert run["paper"]["model"] == {
        "landing_slots": 3,
        "drop_bps": 500,
        "failure_bps": 200,
        "tip_lamports": 10_000,
        "seed": 1,
    }
    assert run["paper"]["latency"]["slots_p50"] >= 3
    assert run["paper"]["latency"]["round_trip_ms"] > 0
    assert run["snipes"]["closed"] == run["snipes"]["bought"]


def network_fee(raw: bytes) -> int:
    """What a transaction pays, read from its bytes by another way than the bot's."""
    message = VersionedTransaction.from_bytes(raw).message
    limit = price = 0
    for instruction in message.instructions:
        if message.account_keys[instruction.program_id_index] == COMPUTE_BUDGET:
            data = bytes(instruction.data)
            value = int.from_bytes(data[1:], "little")
            limit, price = (value, price) if data[0] == 2 else (limit, value)
    return 5_000 * message.header.num_required_signatures + -(-limit * price // 10**6)


def assert_reconciled(document: dict[str, Any], journal: Path) -> None:
    """Hold a document's list of costs against the journal's own bytes."""
    paper, events = document["paper"], journal_events(journal)
    raws = {event["intent"]: b64decode(event["raw"]) for event in events if event["event"] == "IntentSigned"}
    landed = [event for event in events if event["event"] == "IntentLanded"]
    failed = [event for event in events if event["event"] == "IntentFailed"]
    fees = sum(network_fee(raws[event["intent"]]) for event in landed)
    failed_fees = sum(network_fee(raws[event["intent"]]) for event in failed)
    moved = sum(event["lamports_delta"] for event in landed)

    assert paper["landed"] == len(landed) > 0
    assert sum(paper["failed"].values()) == len(failed)
    assert paper["fees_lamports"] == fees
    assert paper["tips_lamports"] == 10_000 * len(landed)
    assert paper["failed_lamports"] == failed_fees == -sum(event["lamports_delta"] for event in failed)
    assert paper["free_lamports"] == moved + fees + paper["tips_lamports"]
    assert paper["net_lamports"] == moved - failed_fees == document["wallet"]["change_lamports"]
    assert document["pnl"]["run_lamports"] == paper["net_lamports"], "the fees of failed buys included"
    charged = paper["fees_lamports"] + paper["tips_lamports"] + paper["failed_lamports"]
    assert paper["free_lamports"] - charged == paper["net_lamports"]


def test_paper_pnl_differs_from_free_fills_by_exactly_what_is_listed(session: Session) -> None:
    assert_reconciled(session.run, Path(session.run["journal"]))


def test_paper_without_endpoints_is_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.freeze", lambda: None)  # the test's process goes on
    result = CliRunner().invoke(app, ["run", "--cluster", "paper"])
    assert isinstance(result.exception, UsageError)
    assert "[cluster] rpc_url" in str(result.exception)


# ---- record --------------------------------------------------------------------------------------------------------


def test_recording_holds_frames_and_was_closed_in_order(session: Session) -> None:
    lines = list(read_lines(session.recording))
    frames = sum(isinstance(line, FrameRead) for line in lines)
    assert isinstance(lines[-1], Ended)
    assert lines[-1].frames == frames > 0
    assert lines[-1].pools > 0
    assert f"{frames} frames" in session.recorded


def test_interrupt_closes_a_recording_in_order(session: Session) -> None:
    code, out, err = session.interrupted
    assert code == 130, err
    assert "cut.ndjson:" in out
    assert "Traceback" not in err
    assert isinstance(list(read_lines(session.folder / "cut.ndjson"))[-1], Ended)


def test_recording_ends_after_so_many_frames(session: Session) -> None:
    lines = list(read_lines(session.folder / "counted.ndjson"))
    assert sum(isinstance(line, FrameRead) for line in lines) == 3
    assert isinstance(lines[-1], Ended)


def record_in_process(path: Path, config: Path | None = None) -> None:
    record_session(config=config, path=path, for_s=1, frames=1, max_mb=1)


def test_recording_is_not_overwritten(session: Session) -> None:
    before = session.recording.read_bytes()
    with pytest.raises(UsageError, match="not overwritten"):
        record_in_process(session.recording, session.folder / "paper.toml")
    assert session.recording.read_bytes() == before


def test_recording_of_nobody_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[cluster]\nrpc_url = "http://127.0.0.1:9"\nws_url = "ws://127.0.0.1:9"\n')
    with pytest.raises(TransportError):
        record_in_process(tmp_path / "r.ndjson", tmp_path / "c.toml")
    assert not (tmp_path / "r.ndjson").exists()
    with pytest.raises(UsageError, match="no folder"):
        record_in_process(tmp_path / "none" / "r.ndjson")


# ---- replay --------------------------------------------------------------------------------------------------------


def test_two_replays_make_the_same_journal_byte_for_byte(session: Session) -> None:
    first, second = ((session.folder / f"replay-{number}.sqlite3").read_bytes() for number in range(2))
    assert first == second
    one, other = session.replays
    assert one["journal_sha256"] == other["journal_sha256"]
    assert {key: value for key, value in one.items() if key != "journal"} == {
        key: value for key, value in other.items() if key != "journal"
    }


def test_replay_trades_and_its_books_are_balanced(session: Session) -> None:
    replay = session.replays[0]
    assert replay["environment"]["cluster"] == "replay"
    assert replay["invariants"] == ZERO
    assert replay["snipes"]["closed"] >= 1
    assert replay["snipes"]["detected"] <= replay["recording"]["frames"]
    assert replay["recording"]["is_whole"]
    assert "own_ms" not in replay, "a replay's time stands still while the program works"
    assert_reconciled(replay, session.folder / "replay-0.sqlite3")


def test_another_seed_makes_another_journal(session: Session) -> None:
    settings = with_seed(load(session.folder / "paper.toml"), 99)
    assert replay_trading(settings, session.recording).journal_sha256 != session.replays[0]["journal_sha256"]


BAD_REPLAYS: dict[str, tuple[list[str], type[Exception], str]] = {
    "no file": (["nothing.ndjson", "--trade"], UsageError, "cannot read"),
    "no recording": (["text.ndjson", "--trade"], MalformedError, "is no recording"),
    "an option of trading": (["text.ndjson", "--seed", "1"], UsageError, "--trade"),
    "an existing journal": (["feed.ndjson.gz", "--trade", "--journal", "paper.toml"], UsageError, "not overwritten"),
    "the network": (["feed.ndjson.gz", "--trade", "--config", "socials.toml"], UsageError, "require_socials"),
}


@pytest.mark.parametrize(("words", "kind", "said"), BAD_REPLAYS.values(), ids=BAD_REPLAYS)
def test_replay_says_what_is_wrong_in_a_sentence(
    session: Session, monkeypatch: pytest.MonkeyPatch, words: list[str], kind: type[Exception], said: str
) -> None:
    (session.folder / "text.ndjson").write_text("no recording\n")
    (session.folder / "socials.toml").write_text("[filters]\nrequire_socials = true\n")
    monkeypatch.chdir(session.folder)
    result = CliRunner().invoke(app, ["replay", *words])
    assert isinstance(result.exception, kind), result.output
    assert said in str(result.exception)
    assert result.output == ""


# ---- the tutorial --------------------------------------------------------------------------------------------------


def test_every_command_of_the_tutorial_was_executed(session: Session) -> None:
    assert session.executed == set(LINES)


def test_doctor_of_the_tutorial_finds_the_endpoints_in_order(session: Session) -> None:
    assert "FAIL" not in session.doctor
    assert "answers in" in session.doctor


@pytest.mark.parametrize("text", CONFIGS)
def test_configurations_of_the_tutorial_are_understood(text: str) -> None:
    settings = parse(text, "tutorial")
    assert settings.cluster.rpc_url
    assert tomllib.loads(text)


def test_keys_of_the_tutorials_table_are_those_of_the_document(session: Session) -> None:
    named = re.findall(r"^\| `(\w+)` \|", TUTORIAL, flags=re.MULTILINE)
    assert len(named) == 7
    assert set(named) <= set(session.run["paper"])
