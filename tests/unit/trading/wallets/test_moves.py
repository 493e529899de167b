import struct

import pytest
from solders.hash import Hash
from solders.pubkey import Pubkey

from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.rpc import AccountInfo
from slotzero.solana.transaction import MAX_TRANSACTION_BYTES, unsigned
from slotzero.trading.filters import Refusal
from slotzero.trading.wallets import Funding, MoveTerms, Planned, ReclaimPlan, plan_funding, plan_reclaim, plan_sweep
from slotzero.units import Lamports, MicroLamportsPerCu
from wallet_lab import TOKEN_MINT, address, extension, token_data

RENT = Lamports(890_880)
TERMS = MoveTerms(empty_account_lamports=RENT)
SOL = 1_000_000_000
WALLET, OTHER, MINT = address(1), address(2), TOKEN_MINT
TOKEN_RENT = Lamports(2_039_280)


def funding(number: int, lamports: int) -> Funding:
    return Funding(wallet=address(number), lamports=Lamports(lamports))


def reason(plan: object) -> str:
    assert isinstance(plan, Refusal)
    return plan.reason


def size_of(planned: Planned) -> int:
    return len(unsigned(planned.payer, planned.instructions, Hash.default()))


def transferred(planned: Planned) -> list[int]:
    return [struct.unpack("<IQ", i.data)[1] for i in planned.instructions if i.program_id == SYSTEM_PROGRAM]


# ---- funding -------------------------------------------------------------------------------------------------------


def test_funding_tops_up_what_lacks_and_passes_over_the_rest() -> None:
    wallets = [funding(2, 0), funding(3, SOL), funding(4, SOL - 1), funding(5, 2 * SOL)]
    plan = plan_funding(funding(1, 5 * SOL), wallets, level_lamports=Lamports(SOL), terms=TERMS)
    assert isinstance(plan, tuple)
    (planned,) = plan
    assert transferred(planned) == [SOL, 1]
    assert planned.touches == (address(2), address(4))
    assert (planned.moved_lamports, planned.fee_lamports, planned.payer) == (SOL + 1, 5_000, address(1))
    assert plan_funding(funding(1, 0), [funding(3, SOL)], level_lamports=Lamports(SOL), terms=TERMS) == ()


def test_funding_keeps_the_treasurys_rent_to_the_lamport() -> None:
    enough = SOL + 5_000 + RENT
    plan = plan_funding(funding(1, enough), [funding(2, 0)], level_lamports=Lamports(SOL), terms=TERMS)
    assert isinstance(plan, tuple)
    short = plan_funding(funding(1, enough - 1), [funding(2, 0)], level_lamports=Lamports(SOL), terms=TERMS)
    assert reason(short) == "insufficient_balance"


def test_funding_of_many_fills_transactions_up_to_the_size_limit() -> None:
    wallets = [funding(number, 0) for number in range(2, 102)]
    plan = plan_funding(funding(1, 200 * SOL), wallets, level_lamports=Lamports(SOL), terms=TERMS)
    assert isinstance(plan, tuple)
    assert all(size_of(planned) <= MAX_TRANSACTION_BYTES for planned in plan)
    assert [a for planned in plan for a in planned.touches] == [wallet.wallet for wallet in wallets]
    assert all(size_of(planned) > MAX_TRANSACTION_BYTES - 60 for planned in plan[:-1])


@pytest.mark.parametrize(
    ("wallets", "level", "why"),
    [
        ([funding(2, 0)], RENT - 1, "below_rent"),
        ([funding(1, 0)], SOL, "funds_itself"),
        ([funding(2, 0), funding(2, 0)], SOL, "named_twice"),
    ],
)
def test_funding_that_cannot_be_meant_is_refused(wallets: list[Funding], level: int, why: str) -> None:
    assert reason(plan_funding(funding(1, 9 * SOL), wallets, level_lamports=Lamports(level), terms=TERMS)) == why


# ---- sweeping ------------------------------------------------------------------------------------------------------


def sweep(
    lamports: int = SOL, *, to: Pubkey = OTHER, there: AccountInfo | None = None, keep: int = 0, price: int = 0
) -> Planned | Refusal:
    return plan_sweep(
        funding(1, lamports),
        to,
        there,
        allowed=frozenset({OTHER, WALLET}),
        keep_lamports=Lamports(keep),
        terms=MoveTerms(empty_account_lamports=RENT, price=MicroLamportsPerCu(price)),
    )


def account(owner: Pubkey, data: bytes = b"", lamports: int = TOKEN_RENT) -> AccountInfo:
    return AccountInfo(lamports=Lamports(lamports), owner=owner, data=data, executable=False)


@pytest.mark.parametrize(("keep", "price"), [(0, 0), (RENT, 0), (0, 1_000_000), (SOL // 2, 333_333)])
def test_sweep_leaves_exactly_what_is_to_stay(keep: int, price: int) -> None:
    planned = sweep(keep=keep, price=price)
    assert isinstance(planned, Planned)
    assert transferred(planned) == [planned.moved_lamports]
    assert planned.moved_lamports + planned.fee_lamports + keep == SOL


def test_sweep_to_an_address_off_the_list_is_refused_first_of_all() -> None:
    assert reason(sweep(0, to=address(9), keep=1)) == "not_allowed"


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (sweep(to=WALLET), "sweeps_to_itself"),
        (sweep(keep=1), "below_rent"),
        (sweep(keep=RENT - 1), "below_rent"),
        (sweep(5_000), "nothing_to_sweep"),
        (sweep(0), "nothing_to_sweep"),
        (sweep(RENT + 4_999), "below_rent"),
        (sweep(there=account(TOKEN_PROGRAM, bytes(165))), "no_wallet_there"),
        (sweep(there=account(SYSTEM_PROGRAM, bytes(80))), "no_wallet_there"),
    ],
)
def test_sweep_that_would_lose_or_strand_money_is_refused(plan: object, why: str) -> None:
    assert reason(plan) == why


def test_sweep_of_dust_goes_to_an_account_that_is_there() -> None:
    assert isinstance(sweep(5_001, there=account(SYSTEM_PROGRAM, lamports=RENT)), Planned)


# ---- closing -------------------------------------------------------------------------------------------------------


def reclaim(
    *accounts: AccountInfo | None, lamports: int = SOL, in_use: frozenset[Pubkey] = frozenset()
) -> ReclaimPlan | Refusal:
    return plan_reclaim(
        funding(1, lamports),
        [(address(100 + number), account) for number, account in enumerate(accounts)],
        in_use=in_use,
        terms=TERMS,
    )


CLOSABLE = {
    "SPL Token": account(TOKEN_PROGRAM, token_data(WALLET)),
    "Token-2022": account(TOKEN_2022_PROGRAM, token_data(WALLET)),
    "immutable owner": account(TOKEN_2022_PROGRAM, token_data(WALLET, extensions=extension(7, b""))),
    "no withheld fees": account(TOKEN_2022_PROGRAM, token_data(WALLET, extensions=extension(2, bytes(8)))),
    "its own close authority": account(TOKEN_PROGRAM, token_data(WALLET, close=WALLET)),
    "wrapped SOL, unwrapped": account(TOKEN_PROGRAM, token_data(WALLET, native=TOKEN_RENT)),
    "frozen": account(TOKEN_PROGRAM, token_data(WALLET, state=2)),
}


@pytest.mark.parametrize("found", CLOSABLE.values(), ids=CLOSABLE.keys())
def test_empty_account_is_closed(found: AccountInfo) -> None:
    plan = reclaim(found)
    assert isinstance(plan, ReclaimPlan)
    assert plan.kept == ()
    (planned,) = plan.transactions
    close = planned.instructions[-1]
    assert (close.program_id, close.data) == (found.owner, b"\x09")
    assert [meta.pubkey for meta in close.accounts] == [address(100), WALLET, WALLET]
    assert (plan.rent_lamports, plan.fee_lamports) == (TOKEN_RENT, 5_000)


KEPT = {
    "holds 1 units": account(TOKEN_PROGRAM, token_data(WALLET, amount=1)),
    "holds 18446744073709551615 units": account(TOKEN_2022_PROGRAM, token_data(WALLET, amount=2**64 - 1)),
    "withheld transfer fees": account(
        TOKEN_2022_PROGRAM, token_data(WALLET, extensions=extension(7, b"") + extension(2, struct.pack("<Q", 1)))
    ),
    "confidential balance": account(TOKEN_2022_PROGRAM, token_data(WALLET, extensions=extension(5, bytes(295)))),
    "unknown type 999": account(TOKEN_2022_PROGRAM, token_data(WALLET, extensions=extension(999, b""))),
    "tokens are those of": account(TOKEN_PROGRAM, token_data(OTHER)),
    f"only {OTHER} may close it": account(TOKEN_PROGRAM, token_data(WALLET, close=OTHER)),
    "no token program": account(SYSTEM_PROGRAM),
    "must have 165 bytes": account(TOKEN_PROGRAM, bytes(82)),
    "less than the fee": account(TOKEN_PROGRAM, token_data(WALLET), lamports=5_000),
}


@pytest.mark.parametrize(("why", "found"), KEPT.items(), ids=KEPT.keys())
def test_account_that_must_not_be_closed_is_reported(why: str, found: AccountInfo) -> None:
    plan = reclaim(found)
    assert isinstance(plan, ReclaimPlan)
    assert plan.transactions == ()
    (kept,) = plan.kept
    assert kept.address == address(100)
    assert why in kept.reason


def test_account_that_is_traded_or_absent_or_named_twice_is_left() -> None:
    found = account(TOKEN_PROGRAM, token_data(WALLET))
    for in_use in (frozenset({MINT}), frozenset({address(100)})):
        plan = reclaim(found, in_use=in_use)
        assert isinstance(plan, ReclaimPlan)
        assert plan.transactions == ()
        assert plan.kept[0].reason == "it is traded just now"
    assert reclaim(None) == ReclaimPlan(transactions=(), kept=())
    twice = plan_reclaim(funding(1, SOL), [(address(100), found)] * 2, in_use=frozenset(), terms=TERMS)
    assert isinstance(twice, ReclaimPlan)
    assert len(twice.transactions[0].touches) == 1


def test_many_accounts_of_both_programs_share_transactions() -> None:
    accounts = [
        account(program, token_data(WALLET)) for _ in range(40) for program in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
    ]
    plan = reclaim(*accounts)
    assert isinstance(plan, ReclaimPlan)
    assert sum(len(planned.touches) for planned in plan.transactions) == 80
    assert len(plan.transactions) == 4
    assert all(size_of(planned) <= MAX_TRANSACTION_BYTES for planned in plan.transactions)
    assert plan.rent_lamports == 80 * TOKEN_RENT
    assert plan.fee_lamports == 4 * 5_000


def test_wallet_that_cannot_pay_the_fees_first_is_refused() -> None:
    found = account(TOKEN_PROGRAM, token_data(WALLET))
    assert reason(reclaim(found, lamports=RENT + 4_999)) == "insufficient_balance"
    assert isinstance(reclaim(found, lamports=RENT + 5_000), ReclaimPlan)
    assert reclaim(lamports=0) == ReclaimPlan(transactions=(), kept=())
