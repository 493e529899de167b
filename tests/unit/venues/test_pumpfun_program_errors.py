"""Error names; all of them are compared with the published list in the integration tests."""

import pytest

from slotzero.venues.pumpfun import error_name, is_slippage_error


@pytest.mark.parametrize(
    ("code", "name"),
    [(6002, "TooMuchSolRequired"), (6062, "BuybackFeeRecipientMissing"), (2006, "ConstraintSeeds"), (1, "Custom(1)")],
)
def test_code_has_its_name(code: int, name: str) -> None:
    assert error_name(code) == name


def test_slippage_is_told_from_other_failures() -> None:
    assert all(is_slippage_error(code) for code in (6002, 6003, 6042))
    assert not is_slippage_error(6005)
