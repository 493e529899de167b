"""A chain with a launcher and a stranger who trades, all on a clock that the test moves."""

import hashlib

from solders.account import Account
from solders.pubkey import Pubkey

from slotzero.clock import TestClock, is_due, later, ms
from slotzero.localnet.chain import Chain, ChainConfig
from slotzero.localnet.launcher import CoinScript, Launcher, LauncherConfig, Mix
from slotzero.localnet.launcher.actors import Actor
from slotzero.localnet.launcher.desk import Desk
from slotzero.secret import Secret
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM
from slotzero.solana.token import TokenAccount, parse_token_account
from slotzero.solana.transaction import Signer
from slotzero.units import BasisPoints, Lamports, TokenAmount
from slotzero.venues.pumpfun import (
    FEE_CONFIG,
    TradeAccounts,
    curve_address,
    decode_curve,
    decode_fee_config,
    fee_rates,
    quote_sell,
)
from slotzero.venues.records import Reserves

BOT_LAMPORTS = Lamports(100_000_000)
SUPPLY = 10**15


class Stranger:
    """A wallet the launcher does not know."""

    def __init__(self, chain: Chain, name: str = "stranger") -> None:
        self.actor = Actor(Signer(Secret(hashlib.sha256(name.encode()).digest())))
        self._chain = chain
        self._desk = Desk(chain)
        chain.set_account(self.actor.pubkey, Account(10_000_000_000, b"", SYSTEM_PROGRAM))

    @property
    def lamports(self) -> int:
        account = self._chain.account(self.actor.pubkey)
        return account.lamports if account else 0

    def accounts(self, mint: Pubkey) -> TradeAccounts:
        account = self._chain.account(curve_address(mint))
        assert account is not None
        creator = decode_curve(account.data).creator
        assert creator is not None
        return self._desk.accounts(self.actor, mint=mint, creator=creator, choice=0)

    def buy(self, mint: Pubkey, reserves: Reserves, *, lamports: Lamports = BOT_LAMPORTS) -> str | None:
        """Buy at `reserves` with a slippage of 5 %; returns why it failed."""
        instructions = self._desk.buy(self.accounts(mint), reserves, lamports, BasisPoints(500))
        return self._desk.submit(instructions, self.actor)

    def sell_all(self, mint: Pubkey) -> str | None:
        """Sell everything at any price; returns why it failed."""
        instructions = self._desk.sell(self.accounts(mint), BasisPoints(10_000), may_close=False)
        return self._desk.submit(instructions, self.actor)

    def held(self, mint: Pubkey) -> TokenAccount:
        account = self._chain.account(self.accounts(mint).user_tokens)
        assert account is not None
        return parse_token_account(account.data, TOKEN_2022_PROGRAM)


class LauncherWorld:
    """A chain with a launcher, driven by hand."""

    def __init__(self, *, seed: int = 7, launches_per_s: float = 0, mix: Mix | None = None, slot_ms: int = 200) -> None:
        self.clock = TestClock()
        self.chain = Chain(ChainConfig(seed=seed, slot_ms=slot_ms), clock=self.clock)
        config = LauncherConfig(seed=seed, launches_per_s=launches_per_s, mix=mix or Mix())
        self.launcher = Launcher(self.chain, config, clock=self.clock)
        fees = self.chain.account(FEE_CONFIG)
        assert fees is not None
        self._fee_config = decode_fee_config(fees.data)

    def launch(self, script: CoinScript) -> Pubkey:
        mint = self.launcher.launch(script)
        assert mint is not None, self.launcher.stats().launch_failures
        return mint

    def drive(self, by_ms: int) -> None:
        """Let `by_ms` pass: slots open and the launcher acts at their instants."""
        end = later(self.clock.mono_ns(), ms(by_ms))
        while True:
            self.launcher.catch_up()
            deadlines = [d for d in (self.launcher.next_deadline, self.chain.next_deadline) if d is not None]
            if not deadlines or not is_due(min(deadlines), end):
                break
            self.clock._set(min(deadlines))
        self.clock._set(end)

    def reserves(self, mint: Pubkey) -> Reserves:
        account = self.chain.account(curve_address(mint))
        assert account is not None
        return decode_curve(account.data).reserves

    def value(self, mint: Pubkey, tokens: TokenAmount) -> int:
        """What selling `tokens` would bring now, fees taken off."""
        reserves = self.reserves(mint)
        rates = fee_rates(self._fee_config, reserves, SUPPLY)
        quote = quote_sell(reserves, tokens, rates)
        assert quote is not None
        return quote.net
