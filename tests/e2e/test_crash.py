"""Twenty kills at chosen stages, on each store; the chain alone says whether money was lost."""

import json
from pathlib import Path

import pytest

from crash_bot import STAGES
from crash_harness import crash
from slotzero.workloads.bot_run import MOVED_OUTSIDE

KILLS = 20


@pytest.mark.long
@pytest.mark.timeout(240)  # a life of the bot takes two seconds, on a busy machine more
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_bot_killed_again_and_again_loses_and_doubles_nothing(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if store == "sqlite":
        journal = f"path = {json.dumps(str(tmp_path / 'journal.sqlite3'))}"
    else:
        journal = f"url = {json.dumps(request.getfixturevalue('postgres_url'))}"
    result = crash(tmp_path, journal, kills=KILLS, seed=21)
    assert result.judgement.faults == {}, result.judgement.details
    assert result.kills.total() == KILLS
    assert set(STAGES) <= set(result.kills)
    assert result.judgement.buys >= KILLS
    assert result.document["differences"] == []
    moves = [event for event in result.events if event.get("reason") == MOVED_OUTSIDE]
    assert moves == [], "what an order did was taken for money that was moved"
