"""One of two endpoints dies and comes back: the snipes go on, and the document says what happened."""

import signal
import time
from pathlib import Path

from chain_judge import judge
from crash_harness import books_of
from stage_chain import staged_chain
from staged_bot import bot_config, running_bot, within

TRADING = """
[trade]
buy_lamports = 50_000_000
max_open_positions = 60
[exits]
max_hold_ms = 1_500
[filters]
min_liquidity_lamports = 500_000_000
[safety]
budget_ms = 5_000
[orders]
rebroadcast_ms = 100
status_poll_ms = 100
"""


def test_snipes_go_on_while_one_of_two_endpoints_is_dead(tmp_path: Path) -> None:
    with staged_chain(slot_ms=50) as stage:
        ends, second = stage.endpoints, stage.endpoints["second"]
        both = (
            f'rpc_url = "{second["rpc"]}"\nws_url = "{second["ws"]}"\n'
            f'other_rpc_urls = ["{ends["rpc"]}"]\nother_ws_urls = ["{ends["ws"]}"]\ncall_timeout_ms = 500\n'
        )
        with running_bot(tmp_path, bot_config(tmp_path, stage, TRADING, cluster=both)) as bot:
            bot.listens(stage)
            before = bot.buys_again(stage, "BEFORE")
            stage.rpc("slotzero_stopPort")
            while_dead = bot.buys_again(stage, "DEAD")
            for number in range(5):
                mint = stage.launch(f"STILL{number}")
                bot.holds(mint)
                while_dead.append(mint)
                time.sleep(0.1)
            stage.rpc("slotzero_startPort")
            time.sleep(1.0)  # the breaker lets a probe through
            after = bot.buys_again(stage, "AFTER")
            within(20, lambda: True if bot.status().closed >= len(before) + 6 else None, "positions closed")
            document, err = bot.finish(by=signal.SIGINT)
            events = bot.events
        wallet = document["wallet"]["address"]
        verdict = judge(ends["rpc"], [wallet], [books_of(document, events)])

    assert not verdict.faults, verdict.details
    assert "Traceback" not in err
    bought = {row["mint"] for row in document["positions"]}
    assert len(bought & set(while_dead)) >= 6, "of those launched while it was dead"
    assert bought & set(after)
    by_name = {row["name"]: row for row in document["endpoints"]}
    dying, other = by_name[second["rpc"]], by_name[ends["rpc"]]
    assert "open" in [change["state"] for change in dying["transitions"]], dying["transitions"]
    assert sum(dying["failures"].values()) > 0
    assert dying["state"] == "closed", "and it is asked again since it is back"
    assert other["state"] == "closed"
    assert document["rpc_calls_per_snipe"]["plan"] == 0
    assert 0 < document["rpc_calls_per_snipe"]["safety"] <= 2
    assert document["account_reads"]["without_rpc_percent"] > 80
