"""JSON shapes that clients read by eye or by machine."""

import pytest

from slotzero.errors import MalformedError
from slotzero.localnet.base58 import base58_decode, base58_encode
from slotzero.localnet.render import err_sentence, ui_amount_json
from slotzero.solana.svm import TransactionErr


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [(0, 6, "0"), (1, 6, "0.000001"), (1_000_000, 6, "1"), (1_234_500, 6, "1.2345"), (17, 0, "17")],
)
def test_ui_amount_has_no_trailing_zeros(amount: int, decimals: int, text: str) -> None:
    shown = ui_amount_json(amount, decimals)
    assert shown == {"amount": str(amount), "decimals": decimals, "uiAmount": float(text), "uiAmountString": text}


@pytest.mark.parametrize(
    ("err", "sentence"),
    [
        ("BlockhashNotFound", "Blockhash not found"),
        ("TooManyAccountLocks", "Too many account locks"),
        ({"InstructionError": [2, {"Custom": 6002}]}, "Error processing Instruction 2: custom program error: 0x1772"),
        ({"InstructionError": [0, "InvalidArgument"]}, "Error processing Instruction 0: Invalid argument"),
        (
            {"InsufficientFundsForRent": {"account_index": 3}},
            "Transaction results in an account (3) with insufficient funds for rent",
        ),
    ],
)
def test_error_is_said_as_a_node_says_it(err: TransactionErr, sentence: str) -> None:
    assert err_sentence(err) == sentence


@pytest.mark.parametrize(("data", "text"), [(b"", ""), (b"\0\0", "11"), (b"hello world", "StV1DL6CwTryKyV")])
def test_base58_round_trip(data: bytes, text: str) -> None:
    assert base58_encode(data) == text
    assert base58_decode(text, 100) == data


@pytest.mark.parametrize("text", ["0", "l", "é", "1" * 101])
def test_base58_refuses_strange_and_long_text(text: str) -> None:
    with pytest.raises(MalformedError):
        base58_decode(text, 100)
