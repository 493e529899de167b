import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.account import Account
from solders.pubkey import Pubkey

from slotzero.safety import AccountView, RoundTripProbe
from slotzero.safety.round_trip import Failure, describe_failure, judge_round_trip
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM
from slotzero.units import Lamports, TokenAmount
from token_lab import Simulated, key, new_pool

TRADER, ATA, DEPOSIT, MINT, STRANGER = (key(number) for number in range(70, 75))
RENT = 2_000_000
FUNDED = 1_000_000_000
QUOTED = 100_000_000
POOL = new_pool(MINT)


def probe(**changes: object) -> RoundTripProbe:
    fields: dict[str, object] = {
        "raw": b"",
        "trader": TRADER,
        "trader_lamports": Lamports(FUNDED),
        "token_account": ATA,
        "tokens": TokenAmount(5000),
        "quoted_total": Lamports(QUOTED),
        "buy_index": 3,
        "sell_index": 4,
    }
    return RoundTripProbe(**{**fields, **changes})  # type: ignore[arg-type]  # one table of fields for all tests


def token_account(
    *,
    mint: Pubkey = MINT,
    owner: Pubkey = TRADER,
    amount: int = 0,
    delegate: Pubkey | None = None,
    state: int = 1,
    close: Pubkey | None = None,
    tail: bytes = b"",
) -> Account:
    def option(at: Pubkey | None) -> bytes:
        return struct.pack("<I32s", 0 if at is None else 1, bytes(at or bytes(32)))

    data = bytes(mint) + bytes(owner) + struct.pack("<Q", amount) + option(delegate)
    data += struct.pack("<BIQQ", state, 0, 0, 0) + option(close) + tail
    return Account(RENT, data, TOKEN_2022_PROGRAM)


def ended(loss: int, ata: AccountView | None = None, *rest: AccountView | None, err: object = None) -> Simulated:
    """Return a simulation after which trader and token account together hold `loss` less than before."""
    ata = ata or token_account()
    trader = Account(FUNDED - ata.lamports - loss - sum(item.lamports for item in rest if item), b"", SYSTEM_PROGRAM)
    return Simulated(err=err, logs=(), units=1, accounts=(trader, ata, *rest))


def judge(simulation: Simulated, subject: RoundTripProbe | None = None, max_loss_bps: int = 500) -> tuple[str, str]:
    (evidence,) = judge_round_trip(simulation, subject or probe(), POOL, max_loss_bps=max_loss_bps)
    assert evidence.layer == "round_trip"
    return evidence.decision, evidence.reason


# ---- the loss ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (0, ("ALLOW", "passed")),
        (2_500_000, ("ALLOW", "passed")),
        (5_000_000, ("ALLOW", "passed")),
        (5_000_001, ("DENY", "round_trip_loss")),  # rounded up to the next basis point
        (90_000_000, ("DENY", "round_trip_loss")),
        (-1, ("UNSURE", "round_trip_gain")),
    ],
)
def test_loss_is_judged_to_the_lamport(loss: int, expected: tuple[str, str]) -> None:
    assert judge(ended(loss)) == expected


def test_detail_names_the_values() -> None:
    (evidence,) = judge_round_trip(ended(9_000_000), probe(), POOL, max_loss_bps=500)
    assert evidence.detail == "the round trip lost 9000000 of 100000000 lamports (900 bps; accepted: 500)"


def test_rent_in_the_traders_own_accounts_is_no_loss_and_anywhere_else_it_is() -> None:
    deposit = Account(9_000_000, b"", STRANGER)
    assert judge(ended(0, None, deposit), probe(deposits=(DEPOSIT,))) == ("ALLOW", "passed")
    unnamed = Simulated(err=None, logs=(), units=1, accounts=ended(0, None, deposit).accounts[:2])
    assert judge(unnamed) == ("DENY", "round_trip_loss")
    assert judge(ended(0, None, None), probe(deposits=(DEPOSIT,))) == ("ALLOW", "passed")


def test_known_costs_and_the_traders_own_network_fee_are_no_loss() -> None:
    loss = 5_000_000 + 890_880 + 5_000
    assert judge(ended(loss)) == ("DENY", "round_trip_loss")
    told = probe(known_costs=Lamports(890_880), network_fee=Lamports(5_000))
    assert judge(ended(loss), told) == ("ALLOW", "passed")


def test_known_costs_that_were_not_taken_are_no_gain() -> None:
    subject = probe(known_costs=Lamports(890_880))
    assert judge(ended(0), subject) == ("ALLOW", "passed")
    assert judge(ended(-1), subject) == ("UNSURE", "round_trip_gain")


def test_closed_token_account_is_fine_and_its_rent_must_have_come_back() -> None:
    closed = Account(0, b"", SYSTEM_PROGRAM)
    assert judge(ended(1_000_000, closed)) == ("ALLOW", "passed")
    trader = Account(FUNDED - 20_000_000, b"", SYSTEM_PROGRAM)
    gone = Simulated(err=None, logs=(), units=1, accounts=(trader, None))
    assert judge(gone) == ("DENY", "round_trip_loss")


@given(
    loss=st.integers(-(10**9), 9 * 10**8),
    quoted=st.integers(1, 10**9),
    limit=st.integers(0, 10_000),
    costs=st.integers(0, 10**7),
)
def test_a_loss_above_the_limit_is_never_allowed(loss: int, quoted: int, limit: int, costs: int) -> None:
    subject = probe(quoted_total=Lamports(quoted), known_costs=Lamports(costs))
    decision, _ = judge(ended(loss), subject, limit)
    is_fine = loss >= 0 and (loss - costs) * 10_000 <= limit * quoted
    assert (decision == "ALLOW") == is_fine


def test_probe_without_a_quote_is_a_bug() -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        judge(ended(0), probe(quoted_total=Lamports(0)))


# ---- what was done to the trader's accounts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (token_account(state=2), ("DENY", "token_account_frozen")),
        (token_account(owner=STRANGER), ("DENY", "token_account_changed")),
        (token_account(mint=STRANGER), ("DENY", "token_account_changed")),
        (token_account(delegate=STRANGER), ("DENY", "token_account_changed")),
        (token_account(close=STRANGER), ("DENY", "token_account_changed")),
        (token_account(close=TRADER), ("ALLOW", "passed")),
        (Account(RENT, b"", SYSTEM_PROGRAM), ("DENY", "token_account_changed")),
        (token_account(tail=b"\2" + struct.pack("<HHQ", 2, 8, 0)), ("ALLOW", "passed")),
        (token_account(tail=b"\2" + struct.pack("<HHQ", 2, 8, 9)), ("DENY", "transfer_fee")),
        (token_account(amount=1), ("UNSURE", "round_trip_incomplete")),
    ],
)
def test_token_account_must_be_the_traders_own_and_empty(account: Account, expected: tuple[str, str]) -> None:
    assert judge(ended(0, account)) == expected


def test_trader_whose_address_was_given_away_is_denied() -> None:
    taken = Account(FUNDED - RENT, b"", STRANGER)
    simulation = Simulated(err=None, logs=(), units=1, accounts=(taken, token_account()))
    assert judge(simulation) == ("DENY", "trader_taken")


@pytest.mark.parametrize("accounts", [(), (None, None), (Account(1, b"", SYSTEM_PROGRAM),)])
def test_answer_without_the_watched_accounts_is_unsure(accounts: tuple[AccountView | None, ...]) -> None:
    simulation = Simulated(err=None, logs=(), units=1, accounts=accounts)
    assert judge(simulation) == ("UNSURE", "answer_malformed")


# ---- failures ------------------------------------------------------------------------------------------------------

LOGS = (
    "Program 6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P invoke [1]",
    "Program log: Program 11111111111111111111111111111111 failed: a lie",
    "Program TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb invoke [2]",
    "Program TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb failed: custom program error: 0x11",
    "Program 6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P failed: custom program error: 0x11",
)


def test_failure_names_the_innermost_program_and_no_line_a_program_wrote_itself() -> None:
    failure = describe_failure({"InstructionError": [4, {"Custom": 17}]}, LOGS)
    assert failure == Failure(
        kind="InstructionError",
        instruction=4,
        program="TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
        code=17,
        text="custom error 17 (0x11)",
    )


@pytest.mark.parametrize(
    ("err", "expected", "told"),
    [
        (
            {"InstructionError": [3, {"Custom": 6002}]},
            ("DENY", "round_trip_failed"),
            "the buy failed: custom error 6002",
        ),
        ({"InstructionError": [4, {"Custom": 17}]}, ("DENY", "round_trip_failed"), "the sell failed: custom error 17"),
        ({"InstructionError": [5, "InvalidAccountData"]}, ("DENY", "round_trip_failed"), "the round trip failed"),
        ({"InsufficientFundsForRent": {"account_index": 3}}, ("DENY", "round_trip_failed"), "InsufficientFundsForRent"),
        ({"InstructionError": [0, {"Custom": 1}]}, ("UNSURE", "probe_not_run"), "failed at instruction 0"),
        ("AccountNotFound", ("UNSURE", "probe_not_run"), "AccountNotFound"),
        ("BlockhashNotFound", ("UNSURE", "probe_not_run"), "BlockhashNotFound"),
        ({"something": "new", "in": "two parts"}, ("DENY", "round_trip_failed"), "something"),
    ],
)
def test_failure_of_a_leg_is_denied_and_one_before_the_buy_is_not(
    err: object, expected: tuple[str, str], told: str
) -> None:
    simulation = Simulated(err=err, logs=LOGS, units=1, accounts=())
    (evidence,) = judge_round_trip(simulation, probe(), POOL, max_loss_bps=500)
    assert (evidence.decision, evidence.reason) == expected
    assert told in evidence.detail


def test_log_text_of_a_stranger_is_made_printable_and_short() -> None:
    logs = ("Program log: \x1b[2Jgone\n", "x" * 5000)
    simulation = Simulated(err={"InstructionError": [4, {"Custom": 1}]}, logs=logs, units=1, accounts=())
    (evidence,) = judge_round_trip(simulation, probe(), POOL, max_loss_bps=500)
    assert evidence.detail.isprintable()
    assert len(evidence.detail) < 600


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    err=JSON | st.fixed_dictionaries({"InstructionError": st.lists(JSON, max_size=3)}),
    logs=st.lists(st.text(max_size=30), max_size=3),
)
def test_any_error_is_described_and_never_allowed(err: object, logs: list[str]) -> None:
    describe_failure(err, logs)
    if err is not None:
        simulation = Simulated(err=err, logs=tuple(logs), units=0, accounts=())
        decision, _ = judge(simulation)
        assert decision in ("DENY", "UNSURE")
