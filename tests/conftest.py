"""What all tests share: where the captured mainnet data lies, and when its absence is an error."""

import os
from pathlib import Path

import pytest

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
