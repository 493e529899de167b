"""A node that serves accounts and statuses but not transactions: what was bought is guarded and sold all the same."""

import contextlib
import http.client
import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from chain_judge import holdings, judge
from crash_harness import books_of
from stage_chain import staged_chain
from staged_bot import bot_config, running_bot, within

TRADING = """
[trade]
buy_lamports = 50_000_000
max_open_positions = 3
[exits]
max_hold_ms = 60_000
[filters]
min_liquidity_lamports = 500_000_000
[safety]
budget_ms = 5_000
[orders]
rebroadcast_ms = 100
status_poll_ms = 100
"""


class ForgetfulNode(ThreadingHTTPServer):
    """A node in front of a chain's; as long as it is forgetful it knows of no transaction."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.behind = urlsplit(url)
        self.is_forgetful = True
        self.forgotten: Counter[str] = Counter()

    def handle_error(self, request: object, client_address: object) -> None:
        """A bot that is killed hangs up in the middle."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ForgetfulNode

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        call = json.loads(body)
        if call["method"] == "getTransaction" and self.server.is_forgetful:
            self.server.forgotten[call["params"][0]] += 1
            self._answer(200, json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": None}).encode())
            return
        behind = http.client.HTTPConnection(self.server.behind.netloc, timeout=10)
        with contextlib.closing(behind):
            behind.request("POST", self.server.behind.path or "/", body, {"Content-Type": "application/json"})
            answer = behind.getresponse()
            self._answer(answer.status, answer.read())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
        """Say nothing."""


@contextlib.contextmanager
def forgetful_node(url: str) -> Iterator[ForgetfulNode]:
    with ForgetfulNode(url) as node:
        serving = threading.Thread(target=node.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield node
        finally:
            node.shutdown()
            serving.join()


def test_rug_is_sold_and_a_kill_survived_though_no_transaction_can_be_read(tmp_path: Path) -> None:
    with staged_chain(slot_ms=50) as stage, forgetful_node(stage.endpoints["rpc"]) as node:
        cluster = f'rpc_url = "{node.url}"\nws_url = "{stage.endpoints["ws"]}"\n'
        config = bot_config(tmp_path, stage, TRADING, cluster=cluster)
        with running_bot(tmp_path, config) as bot:
            bot.listens(stage)
            rugged, kept = stage.launch("RUGGED"), stage.launch("KEPT")
            bot.holds(rugged)
            bot.holds(kept)
            stage.sell(rugged, 10_000)
            (wallet,) = {event["wallet"] for event in bot.events if event["event"] == "IntentSigned"}
            within(10, lambda: None if holdings(stage.rpc, wallet).get(rugged) else True, "the rugged coin sold")
            assert holdings(stage.rpc, wallet)[kept] > 0
            assert "IntentLanded" not in {event["event"] for event in bot.events}
            bot.process.kill()
            bot.process.communicate()
        with running_bot(tmp_path, config) as bot:
            bot.holds(kept)
            assert len(node.forgotten) == 3, "the two buys, and the sale"
            node.is_forgetful = False
            within(20, lambda: True if bot.status().buys_under_way == 0 else None, "every buy read")
            document, err = bot.finish(by=signal.SIGINT)
            events = bot.events
        verdict = judge(stage.endpoints["rpc"], [wallet], [books_of(document, events)])

    assert not verdict.faults, verdict.details
    assert "Traceback" not in err
    assert document["invariants"] == dict.fromkeys(document["invariants"], 0)
    ends = {row["mint"]: (row["state"], row["reason"]) for row in document["positions"]}
    assert ends == {rugged: ("closed", "rug"), kept: ("closed", "drain")}
    opened = [event["intent"] for event in events if event["event"] == "PositionOpened"]
    assert len(opened) == 2
    deltas = [event["lamports_delta"] for event in events if event["event"] == "IntentLanded"]
    assert sum(row["pnl_lamports"] for row in document["positions"]) == sum(deltas)
