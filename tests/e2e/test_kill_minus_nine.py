"""The bot is killed with SIGKILL at each step of a snipe and started again; the chain is the judge."""

import json
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from bot_process import attached_config, finish, journal_events, kill, localnet, start_bot, wait_for_event
from slotzero.workloads.bot_run import MOVED_OUTSIDE

# A slot of 40 ms: a buy killed between its intent and its send can no longer land after 150 of them, six seconds.
KILLED_AT = [("IntentSigned", "buy"), ("IntentSent", "buy"), ("IntentLanded", "buy"), ("IntentSent", "sell")]
ONE_AT_A_TIME = "[trade]\nmax_open_positions = 1\n[exits]\nmax_hold_ms = 1500\n"


def rpc(endpoints: dict[str, Any], method: str, *params: object) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(endpoints["rpc"], body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["result"]


def test_bot_killed_at_each_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite3"
    with localnet("--slot-ms", "40", "--seed", "11", "--launches-per-s", "2", "--trap-percent", "0") as chain:
        config = attached_config(tmp_path, chain, ONE_AT_A_TIME)
        for event, side in KILLED_AT:
            bot = start_bot("--config", str(config), "--json", state=tmp_path)
            wait_for_event(bot, journal, event, side, timeout_s=40)
            kill(bot)

        bot = start_bot("--config", str(config), "--json", "--until-closed", "1", state=tmp_path)
        code, out, err = finish(bot)
        assert code == 0, err
        document = json.loads(out)

        events = journal_events(journal)
        signed = {e["intent"]: e for e in events if e["event"] == "IntentSigned"}
        ended = {
            e["intent"]
            for e in events
            if e["event"] in {"IntentLanded", "IntentFailed", "IntentExpired", "IntentAbandoned"}
        }
        assert document["invariants"] == {
            "double_buys": 0,
            "lost_intents": 0,
            "unknown_open": 0,
            "unexplained_lamports": 0,
        }
        assert set(signed) == ended, "an intent has no end"
        assert not [e for e in events if e.get("reason") == MOVED_OUTSIDE], (
            "an order was taken for money that was moved"
        )

        # From here on the chain alone is asked.
        landed_buys: Counter[str] = Counter()
        for intent in signed.values():
            status = rpc(chain, "getSignatureStatuses", [intent["signature"]], {"searchTransactionHistory": True})
            landed = status["value"][0] is not None and status["value"][0]["err"] is None
            said = any(e["event"] == "IntentLanded" and e["intent"] == intent["intent"] for e in events)
            assert landed == said, f"{intent['side']} {intent['intent']}: chain says {landed}, journal says {said}"
            landed_buys[intent["mint"]] += landed and intent["side"] == "buy"
        assert max(landed_buys.values()) == 1, "a pool was bought twice"

        wallet = document["wallet"]["address"]
        deltas = sum(e["lamports_delta"] for e in events if "lamports_delta" in e)
        balance = rpc(chain, "getBalance", wallet, {"commitment": "processed"})["value"]
        assert balance == deltas
