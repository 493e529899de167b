"""The quote against every trade of mainnet the manifest says follows a formula, to the unit."""

import base64
import json
from pathlib import Path

import pytest

from mainnet_documents import FORMULAS, TRADE, Document, TradeFact, trade_facts
from slotzero.venues.pumpfun import (
    TradeEvent,
    buyback_share,
    decode_curve,
    decode_fee_config,
    decode_global,
    decode_trade,
    fee_rates,
    quote_buy,
    quote_buy_exact_in,
    quote_sell,
    reserves_after_buy,
    reserves_after_sell,
    tokens_for_budget,
)
from slotzero.venues.pumpfun.addresses import MAYHEM_SOL_VAULT
from slotzero.venues.records import FeeRates, Reserves

pytestmark = pytest.mark.fixtures

# What the manifest describes today; a row that is added is picked up, one that is lost is noticed.
LEAST_ROWS = 13


def facts(fixtures: Path) -> list[TradeFact]:
    return trade_facts((fixtures / "MANIFEST.md").read_text())


def event_of(fixtures: Path, fact: TradeFact) -> TradeEvent:
    payload = Document(fixtures / "transactions" / fact.file).events(TRADE)[fact.index]
    event = decode_trade(payload)
    assert (event.is_buy, event.tokens) == (fact.side == "buy", fact.tokens)
    return event


def before(event: TradeEvent) -> Reserves:
    undo = reserves_after_sell if event.is_buy else reserves_after_buy
    return undo(event.reserves, event.tokens, event.quote_amount)


def rates_of(event: TradeEvent) -> FeeRates:
    return FeeRates(protocol_bps=event.protocol_bps, creator_bps=event.creator_bps + event.cashback_bps)


def test_every_described_trade_reconciles_to_the_unit(mainnet_fixtures: Path) -> None:
    done: list[str] = []
    for fact in facts(mainnet_fixtures):
        if fact.formula is None:
            # The one trade without a formula is the mayhem agent's own, on a USDC curve.
            assert fact.file == "pumpfun/raw_buy_tx_from_gettransaction_2026-07.json"
            continue
        event = event_of(mainnet_fixtures, fact)
        reserves, rates, where = before(event), rates_of(event), f"{fact.file}[{fact.index}]"
        assert event.quote_amount == fact.sol, where
        match fact.formula:
            case "cost_formula":
                bought = quote_buy(reserves, fact.tokens, rates)
                assert bought is not None, where
                paid, fees = bought.cost, (bought.protocol_fee, bought.creator_fee)
                assert tokens_for_budget(reserves, bought.total, rates) >= fact.tokens, where
            case "out_formula":
                sold = quote_sell(reserves, fact.tokens, rates)
                assert sold is not None, where
                paid, fees = sold.out, (sold.protocol_fee, sold.creator_fee)
            case _:
                (call,) = Document(mainnet_fixtures / "transactions" / fact.file).trades("38fc74089edfcd5f")
                spendable = int.from_bytes(call.data[8:16], "little")
                bought = quote_buy_exact_in(reserves, spendable, rates)
                assert bought is not None, where
                assert bought.tokens == fact.tokens, where
                assert bought.total == spendable, where
                paid, fees = bought.cost, (bought.protocol_fee, bought.creator_fee)
        assert paid == fact.sol, where
        assert fees == (event.protocol_fee, event.creator_fee + event.cashback), where
        assert event.buyback_fee == buyback_share(event.protocol_fee, event.buyback_bps, is_mayhem=False), where
        done.append(where)
    assert len(done) >= LEAST_ROWS, done


def test_no_row_of_the_manifest_is_forgotten(mainnet_fixtures: Path) -> None:
    manifest = (mainnet_fixtures / "MANIFEST.md").read_text()
    rows = [line for line in manifest.splitlines() if line.startswith("| pumpfun/") and "TradeEvent " in line]
    promised = sum(line.count(f"ok[{formula}") for line in rows for formula in FORMULAS[:3])
    found = [fact for fact in facts(mainnet_fixtures) if fact.formula]
    assert len(found) == promised


def test_fees_of_2026_follow_from_the_fee_config(mainnet_fixtures: Path) -> None:
    stored = json.loads((mainnet_fixtures / "accounts/pump_fees/fee_config_pump.2026-10-10.json").read_text())
    config = decode_fee_config(base64.b64decode(stored["account"]["data"][0]))
    seen = 0
    for fact in facts(mainnet_fixtures):
        if fact.formula is None or "fee" not in fact.checks or "2025-07" in fact.file:
            continue  # the rates of July 2025 were flat
        event = event_of(mainnet_fixtures, fact)
        assert fee_rates(config, before(event), 10**15, quote_mint=event.quote_mint) == rates_of(event), fact.file
        seen += 1
    assert seen >= 8


def test_captured_curves_keep_their_constant_difference(mainnet_fixtures: Path) -> None:
    for name in ("2024-08-slot285247740", "2026-07-slot435946373"):
        stored = json.loads(
            (mainnet_fixtures / f"accounts/pumpfun/bonding_curve_getAccountInfo.{name}.json").read_text()
        )
        curve = decode_curve(base64.b64decode(stored["result"]["value"]["data"][0]))
        reserves = curve.reserves
        assert reserves.virtual_quote - reserves.real_quote == 30_000_000_000
        assert reserves.virtual_token - reserves.real_token == 279_900_000_000_000
        assert curve.token_supply == 10**15
        assert (curve.creator is None, curve.is_cashback) == ((True, False) if "2024" in name else (False, True))


def test_captured_globals_name_their_recipients(mainnet_fixtures: Path) -> None:
    def stored(name: str) -> bytes:
        document = json.loads((mainnet_fixtures / "accounts/pumpfun" / name).read_text())
        return base64.b64decode(document["account"]["data"][0])

    new, old = decode_global(stored("global.2026-10-10.json")), decode_global(stored("global.2025-01.json"))
    assert (new.protocol_bps, new.creator_bps, new.buyback_bps, new.max_creator_fee_bps) == (95, 5, 5000, 300)
    counts = (len(new.fee_recipients), len(new.reserved_fee_recipients), len(new.buyback_fee_recipients))
    assert counts == (8, 8, 8)
    assert new.initial_reserves == old.initial_reserves
    assert (old.protocol_bps, len(old.fee_recipients), old.buyback_fee_recipients) == (100, 1, ())
    assert new.pool_migration_fee_lamports == 15_000_001


def test_trades_of_young_coins_that_follow_each_other_reconcile(mainnet_fixtures: Path) -> None:
    """The price series holds reserves after each trade: where one state leads to the next, the quote must say so."""
    series = json.loads((mainnet_fixtures / "transactions/pumpfun/pumpscope_price_series.json").read_text())
    reconciled = 0
    for coin in series["tokens"]:
        state = Reserves(
            virtual_token=1_073_000_000_000_000,
            virtual_quote=30_000_000_000,
            real_token=793_100_000_000_000,
            real_quote=0,
        )
        for row in coin["events"]:
            is_buy = row["side"] == "buy"
            delta = row["sol"] if is_buy else -row["sol"]
            tokens = abs(state.virtual_token - row["vtok"])
            follows = state.virtual_quote + delta == row["vsol"] and (state.virtual_token > row["vtok"]) is is_buy
            if follows and row["user"] != str(MAYHEM_SOL_VAULT):  # the mayhem agent follows no formula
                free = FeeRates(protocol_bps=0, creator_bps=0)
                bought, sold = quote_buy(state, tokens, free), quote_sell(state, tokens, free)
                if is_buy:
                    exact = quote_buy_exact_in(state, row["sol"], free)
                    assert bought is not None
                    assert exact is not None
                    # A trade by an exact amount spends it whole; the tokens it bought may have cost a lamport less.
                    assert row["sol"] == bought.cost or exact.tokens == tokens
                else:
                    assert sold is not None
                    assert row["sol"] == sold.out
                reconciled += 1
            # The series does not hold the real reserves: they bound a trade and do not price it.
            state = Reserves(
                virtual_token=row["vtok"],
                virtual_quote=row["vsol"],
                real_token=row["vtok"] - 1,
                real_quote=row["vsol"],
            )
    assert reconciled >= 10
