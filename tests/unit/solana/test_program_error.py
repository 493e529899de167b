"""A transaction's error in words."""

import pytest

from slotzero.solana.program_error import custom_code, describe


@pytest.mark.parametrize(
    ("err", "code", "words"),
    [
        ({"InstructionError": [2, {"Custom": 17}]}, 17, "AccountFrozen"),
        ({"InstructionError": [2, {"Custom": 0}]}, 0, "NotRentExempt"),
        ({"InstructionError": [2, {"Custom": 6002}]}, 6002, '{"InstructionError":[2,{"Custom":6002}]}'),
        ({"InstructionError": [2, "InvalidAccountData"]}, None, '{"InstructionError":[2,"InvalidAccountData"]}'),
        ("AccountNotFound", None, "AccountNotFound"),
        ({"InstructionError": [{"Custom": 17}]}, None, '{"InstructionError":[{"Custom":17}]}'),
        ({"InstructionError": [2, {"Custom": "17"}]}, None, '{"InstructionError":[2,{"Custom":"17"}]}'),
        (None, None, "null"),
        ([], None, "[]"),
    ],
)
def test_error_is_named_where_its_code_is_known_and_shown_as_it_is_elsewhere(
    err: object, code: int | None, words: str
) -> None:
    assert custom_code(err) == code
    assert describe(err) == words
