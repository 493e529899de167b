"""What all tests share: the captured mainnet data, a PostgreSQL server, and when the absence of one is an error."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from postgres_lab import fresh_database, postgres_binaries, running_postgres

# No test has an opinion on how long an example takes: this machine is shared, and timing belongs in benchmarks/.
hypothesis.settings.register_profile("slotzero", deadline=None)
hypothesis.settings.load_profile("slotzero")

FIXTURES = Path(__file__).resolve().parent.parent.parent / "shared" / "fixtures"


@pytest.fixture(scope="session")
def mainnet_fixtures() -> Path:
    """The folder of captured mainnet data; skips where it is absent, fails where CI requires it."""
    if FIXTURES.is_dir():
        return FIXTURES
    reason = "the captured mainnet data (../shared/fixtures) is not on this machine"
    if os.environ.get("SLOTZERO_REQUIRE_FIXTURES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server: the one CI has started, else a throw-away one; skips, or fails where CI requires it."""
    if url := os.environ.get("SLOTZERO_TEST_POSTGRES_URL"):
        yield url
        return
    if postgres_binaries() is None:
        reason = "PostgreSQL is not on this machine (apt install postgresql)"
        if os.environ.get("SLOTZERO_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with running_postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty database of one test's own."""
    with fresh_database(postgres_server) as url:
        yield url
