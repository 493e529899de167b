"""A coin made by the pump program itself, and the trades of one wallet in it, for tests of the program."""

from collections.abc import Callable

from msgspec import Struct
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from pump_v2 import buy_exact_quote_in_v2, buy_v2, sell_v2
from pump_world import Coin, World, key
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.venues.pumpfun import (
    TradeAccounts,
    buy,
    buy_exact_sol_in,
    create_associated_token_account,
    create_v2,
    creator_vault_address,
    sell,
    trade_accounts,
    wallet_accounts,
)

USER, CREATOR, MINT = key(7), key(8), key(9)
RICH = 10**13
TRADES: dict[str, Callable[[TradeAccounts, int, int], Instruction]] = {
    "buy": buy,
    "buy_exact_sol_in": buy_exact_sol_in,
    "sell": sell,
    "buy_v2": buy_v2,
    "buy_exact_quote_in_v2": buy_exact_quote_in_v2,
    "sell_v2": sell_v2,
}


class Stage(Struct, frozen=True, kw_only=True):
    """A world with one coin, whose user holds 10,000,000 tokens of it."""

    world: World
    accounts: TradeAccounts

    def trade(self, name: str, amount: int, limit: int) -> Instruction:
        return TRADES[name](self.accounts, amount, limit)

    def good(self, name: str) -> Instruction:
        """A trade that goes well."""
        amount = 10**9 if "exact" in name else 10**12
        return self.trade(name, amount, 10**12 if name in ("buy", "buy_v2") else 0)

    def attempt(self, *instructions: Instruction) -> object:
        return self.world.attempt(self.accounts.user, *instructions)


def creation(
    mint: Pubkey = MINT, *, user: Pubkey = USER, name: str = "Name", symbol: str = "SYM", uri: str = "https://example/x"
) -> Instruction:
    return create_v2(user=user, mint=mint, creator=CREATOR, name=name, symbol=symbol, uri=uri)


def with_arguments(instruction: Instruction, data: bytes) -> Instruction:
    """The instruction with other arguments behind its discriminator."""
    return Instruction(instruction.program_id, bytes(instruction.data[:8]) + data, instruction.accounts)


def accounts_in(world: World, mint: Pubkey, user: Pubkey, creator: Pubkey = CREATOR) -> TradeAccounts:
    return trade_accounts(
        wallet_accounts(user),
        mint=mint,
        creator=creator,
        fee_recipient=world.genesis.fee_recipients[2],
        buyback_recipient=world.genesis.buyback_recipients[3],
    )


def empty_world() -> World:
    world = World()
    world.fund(USER, RICH)
    return world


def stage() -> Stage:
    """A coin created and bought through the program."""
    world = empty_world()
    accounts = accounts_in(world, MINT, USER)
    world.run(USER, creation(), create_associated_token_account(accounts))
    world.run(USER, buy(accounts, 10**13, 10**12))
    return Stage(world=world, accounts=accounts)


def placed_stage(coin: Coin, *, held: int = 10**13) -> Stage:
    """A coin placed from outside, its kind as `coin` says; its creator has earned before, except on a cashback coin."""
    world = empty_world()
    world.place(coin, {USER: held})
    if not coin.is_cashback:
        world.put(creator_vault_address(coin.creator), b"", SYSTEM_PROGRAM)
    recipients = world.genesis.reserved_fee_recipients if coin.is_mayhem else world.genesis.fee_recipients
    accounts = trade_accounts(
        wallet_accounts(USER),
        mint=coin.mint,
        creator=coin.creator,
        fee_recipient=recipients[2],
        buyback_recipient=world.genesis.buyback_recipients[3],
        token_program=coin.token_program,
        is_cashback=coin.is_cashback,
    )
    return Stage(world=world, accounts=accounts)
