"""Mints made by the real Token-2022 program, checked over a real VM: each kind is judged right, by both layers."""

import msgspec
import pytest
from solders.pubkey import Pubkey

from slotzero.localnet.mint_surgery import mint_with_freeze_authority, mint_with_transfer_fee
from slotzero.safety import HoneypotChecker, RoundTripProbe, Verdict, first_layers
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.units import Lamports
from token_lab import (
    CLOSE_AUTHORITY,
    CONFIDENTIAL,
    DEFAULT_FROZEN,
    DEFAULT_OPEN,
    GROUP_POINTER,
    INTEREST,
    NON_TRANSFERABLE,
    PAUSABLE,
    PERMANENT_DELEGATE,
    PERMISSIONED_BURN,
    PRICE,
    ROBBER,
    SCALED_UI,
    TOKENS,
    LabReader,
    Recipe,
    TokenLab,
    key,
    transfer_fee,
    transfer_hook,
)

NAMES = ("Coin", "COIN", "https://example.org/coin.json")


@pytest.fixture
def lab() -> TokenLab:
    return TokenLab()


async def check(
    lab: TokenLab, mint: Pubkey, probe: RoundTripProbe | None = None, *, program: Pubkey = TOKEN_2022_PROGRAM
) -> Verdict:
    reader = LabReader(lab.svm)
    # The budget is no part of these tests: wide enough for the slowest machine.
    checker = HoneypotChecker(reader, first_layers(max_round_trip_loss_bps=500), budget_ms=60_000)
    verdict = await checker.check(lab.pool(mint, program=program), probe or lab.probe(mint, program=program))
    assert (reader.reads, reader.simulations) == (1, 1)
    return verdict


def by_layer(verdict: Verdict, layer: str) -> list[str]:
    return [item.reason for item in verdict.evidence if item.layer == layer]


async def test_plain_coin_with_metadata_is_allowed(lab: TokenLab) -> None:
    verdict = await check(lab, lab.mint(names=NAMES))
    assert (verdict.decision, verdict.facts_decision, verdict.reasons, verdict.notes) == ("ALLOW", "ALLOW", (), ())
    assert verdict.evidence[1].detail == "the round trip lost 1000000 of 50000000 lamports (200 bps; accepted: 500)"


@pytest.mark.parametrize("program", [TOKEN_PROGRAM, TOKEN_2022_PROGRAM])
async def test_plain_coin_without_extensions_is_allowed(lab: TokenLab, program: Pubkey) -> None:
    assert (await check(lab, lab.mint(program=program), program=program)).decision == "ALLOW"


async def test_metadata_somebody_may_change_is_a_note(lab: TokenLab) -> None:
    verdict = await check(lab, lab.mint(names=NAMES, metadata_authority=ROBBER))
    assert (verdict.decision, verdict.notes) == ("ALLOW", ("metadata_mutable",))


@pytest.mark.parametrize("program", [TOKEN_PROGRAM, TOKEN_2022_PROGRAM])
async def test_live_authorities_are_denied_though_the_round_trip_passes(lab: TokenLab, program: Pubkey) -> None:
    mint = lab.mint(program=program, freeze_authority=ROBBER, keep_mint_authority=True)
    verdict = await check(lab, mint, program=program)
    assert verdict.decision == "DENY"
    assert by_layer(verdict, "mint_facts") == ["mint_authority", "freeze_authority"]
    assert by_layer(verdict, "round_trip") == ["passed"]


@pytest.mark.parametrize(
    ("recipe", "reason", "round_trip"),
    [
        (transfer_fee(9000), "transfer_fee", "round_trip_failed"),
        (transfer_fee(0), "transfer_fee", "passed"),
        (transfer_fee(0, None), "extension_not_allowed", "passed"),
        (CLOSE_AUTHORITY, "mint_close_authority", "passed"),
        (CONFIDENTIAL, "confidential", "passed"),
        (NON_TRANSFERABLE, "non_transferable", "round_trip_failed"),
        (INTEREST, "extension_not_allowed", "passed"),
        (PERMANENT_DELEGATE, "permanent_delegate", "passed"),
        (transfer_hook(ROBBER, None), "transfer_hook", "passed"),
        (transfer_hook(None, key(5)), "transfer_hook", "round_trip_failed"),
        (GROUP_POINTER, "extension_not_allowed", "passed"),
        (SCALED_UI, "extension_not_allowed", "passed"),
        (PAUSABLE, "pausable", "passed"),
        (PERMISSIONED_BURN, "extension_not_allowed", "passed"),
    ],
)
async def test_extension_made_by_its_instruction_is_denied(
    lab: TokenLab, recipe: Recipe, reason: str, round_trip: str
) -> None:
    verdict = await check(lab, lab.mint(recipe, names=NAMES))
    assert (verdict.decision, verdict.facts_decision) == ("DENY", "DENY")
    assert by_layer(verdict, "mint_facts") == [reason]
    assert by_layer(verdict, "round_trip") == [round_trip]


@pytest.mark.parametrize(
    ("recipe", "reasons", "round_trip"),
    [
        (DEFAULT_FROZEN, ["freeze_authority", "default_frozen"], "round_trip_failed"),
        (DEFAULT_OPEN, ["freeze_authority", "extension_not_allowed"], "passed"),
    ],
)
async def test_default_state_is_denied_with_the_authority_that_could_flip_it(
    lab: TokenLab, recipe: Recipe, reasons: list[str], round_trip: str
) -> None:
    verdict = await check(lab, lab.mint(recipe, names=NAMES, freeze_authority=ROBBER))
    assert by_layer(verdict, "mint_facts") == reasons
    assert by_layer(verdict, "round_trip") == [round_trip]


async def test_traps_made_by_surgery_are_denied_as_those_made_by_instruction(lab: TokenLab) -> None:
    frozen, taxed = lab.mint(names=NAMES), lab.mint(names=NAMES)
    lab.rewrite(frozen, mint_with_freeze_authority(lab.data(frozen), TOKEN_2022_PROGRAM, ROBBER))
    lab.rewrite(taxed, mint_with_transfer_fee(lab.data(taxed), ROBBER, transfer_fee_bps=9000))
    assert (await check(lab, frozen)).reasons == ("freeze_authority",)
    assert (await check(lab, taxed)).reasons == ("transfer_fee", "round_trip_failed")


# ---- the round trip ------------------------------------------------------------------------------------------------


async def test_market_that_pays_back_too_little_is_denied(lab: TokenLab) -> None:
    mint = lab.mint(names=NAMES)
    verdict = await check(lab, mint, lab.probe(mint, back=PRICE * 94 // 100))
    assert (verdict.decision, verdict.facts_decision, verdict.reasons) == ("DENY", "ALLOW", ("round_trip_loss",))


async def test_failed_sell_is_told_with_its_program_and_code(lab: TokenLab) -> None:
    mint = lab.mint(names=NAMES)
    verdict = await check(lab, mint, lab.probe(mint, sold=TOKENS + 1))
    assert verdict.reasons == ("round_trip_failed",)
    assert verdict.evidence[1].detail.startswith(
        "the sell failed: custom error 1 (0x1) in TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb; the last log lines: "
    )


async def test_tokens_that_were_not_sold_leave_it_unsure(lab: TokenLab) -> None:
    mint = lab.mint(names=NAMES)
    assert (await check(lab, mint, lab.probe(mint, sold=TOKENS - 1))).reasons == ("round_trip_incomplete",)


async def test_balance_assumed_too_low_is_seen_as_a_gain(lab: TokenLab) -> None:
    mint = lab.mint(names=NAMES)
    probe = lab.probe(mint)
    stale = msgspec.structs.replace(probe, trader_lamports=Lamports(probe.trader_lamports - PRICE))
    verdict = await check(lab, mint, stale)
    assert (verdict.decision, verdict.reasons) == ("UNSURE", ("round_trip_gain",))


async def test_gift_to_the_paying_wallet_changes_nothing_for_a_fresh_trader(lab: TokenLab) -> None:
    mint = lab.mint(names=NAMES)
    probe = lab.probe(mint, back=PRICE // 2)
    lab.svm.airdrop(lab.payer, PRICE)
    assert (await check(lab, mint, probe)).reasons == ("round_trip_loss",)


async def test_wallet_that_cannot_fund_the_probe_says_nothing_about_the_pool(lab: TokenLab) -> None:
    mint = lab.mint(names=NAMES)
    probe = lab.probe(mint)
    account = lab.svm.get_account(lab.payer)
    assert account is not None
    lab.svm.set_account(lab.payer, type(account)(5_000_000, b"", account.owner))
    verdict = await check(lab, mint, probe)
    assert (verdict.decision, verdict.reasons) == ("UNSURE", ("probe_not_run",))
