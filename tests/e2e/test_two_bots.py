"""Two bots on one PostgreSQL; the chain alone says that no pool was bought twice."""

from pathlib import Path

import pytest

from two_bots_harness import snipe_together


@pytest.mark.timeout(180)
def test_two_bots_on_one_database_never_buy_the_same_pool(tmp_path: Path, postgres_url: str) -> None:
    result = snipe_together(tmp_path, postgres_url, launches=60, kills=1)
    assert result.judgement.faults == {}, result.judgement.details
    assert result.judgement.buys >= 40
    assert result.lost_claims > 0, "they did not compete"
