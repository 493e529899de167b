"""JSON shapes that clients read by eye or by machine."""

import pytest

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
