"""The round trip a safety check simulates: a fresh address, funded in the same transaction, buys and sells it all."""

import secrets
from typing import Final

from msgspec import Struct
from solders.hash import Hash
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from slotzero.safety.reader import RoundTripProbe
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import compute_budget, unsigned
from slotzero.trading.plan import BuyPlan
from slotzero.units import MAX_COMPUTE_UNITS, ComputeUnits, Lamports, MicroLamportsPerCu
from slotzero.venues.market import Market

__all__ = ["RentFacts", "read_rent", "round_trip_probe"]

_TOKEN_ACCOUNT_BYTES: Final = 170
_DEPOSIT_BYTES: Final = 137

_COST_LIMIT_FACTOR = 2  # a rival's trade between quote and simulation should not look like a trap


class RentFacts(Struct, frozen=True, kw_only=True):
    """What the cluster asks for new accounts today; it changes, so it is asked for at start-up.

    Attributes:
        empty_account_lamports: For an account without data.
        first_trade_lamports: The most a first trade opens: token account, the venue's deposits, a creator's vault.
    """

    empty_account_lamports: Lamports
    first_trade_lamports: Lamports


async def read_rent(rpc: Rpc) -> RentFacts:
    """Ask a cluster what new accounts cost. *Does I/O.*"""
    empty = await rpc.get_minimum_balance(0)
    token = await rpc.get_minimum_balance(_TOKEN_ACCOUNT_BYTES)
    deposit = await rpc.get_minimum_balance(_DEPOSIT_BYTES)
    return RentFacts(empty_account_lamports=empty, first_trade_lamports=Lamports(empty + token + deposit))


def round_trip_probe(
    market: Market, payer: Pubkey, plan: BuyPlan, *, rent: RentFacts, trader: Pubkey | None = None
) -> RoundTripProbe:
    """Build the probe of one buy plan. *Pure.*

    Args:
        market: The pool, for any wallet.
        payer: Our wallet, which funds the trader; it must exist on chain and hold the funding.
        plan: What we are about to buy.
        rent: What the cluster asks for new accounts.
        trader: Who buys and sells; None = a new random address that nobody can have prepared for.
    """
    trader = trader or Pubkey.from_bytes(secrets.token_bytes(32))
    there = market.for_wallet(trader)

    def pay(to: Pubkey, lamports: int) -> Instruction:
        return transfer(TransferParams(from_pubkey=payer, to_pubkey=to, lamports=lamports))

    funding = Lamports(_COST_LIMIT_FACTOR * plan.limit_lamports + rent.first_trade_lamports)
    budget = compute_budget(ComputeUnits(MAX_COMPUTE_UNITS), MicroLamportsPerCu(0))
    instructions = [
        *budget,
        # Filled here, an empty vault costs the trader nothing: its loss is the trade's alone, whoever came before.
        *(pay(account, rent.empty_account_lamports) for account in there.topped_up),
        pay(trader, funding),
        *there.buy(plan.tokens, Lamports(_COST_LIMIT_FACTOR * plan.limit_lamports)),
    ]
    buy_index = len(instructions) - 1
    instructions += there.sell(plan.tokens, Lamports(0), closes_account=False)
    return RoundTripProbe(
        raw=unsigned(payer, instructions, Hash.default(), signatures=2),
        trader=trader,
        trader_lamports=funding,
        token_account=there.user_tokens,
        tokens=plan.tokens,
        quoted_total=plan.quoted_lamports,
        buy_index=buy_index,
        sell_index=buy_index + 1,
        deposits=there.deposits,
    )
