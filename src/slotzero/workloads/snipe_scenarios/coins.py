"""The pools a load scenario launches and the rivals who buy them, as signed transactions. *Pure.*

Every honest coin begins with the venue's own reserves and without a buy of its creator, so what a rival's buy costs is
worked out once. Rivals only buy: what they spend stays in the curves, and each of them can spend for days.

Rivals are snipers who count their compute units: each holds its tokens at an address made of its own and a seed, which
two instructions open; the associated one would take four runs of programs (0.48 ms of the chain's time for a buy, with
them 0.57).
"""

import itertools
from typing import Final

import msgspec
from msgspec import Struct
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountWithSeedParams, create_account_with_seed

from slotzero.localnet.launcher.actors import Actor, Actors, mint_signer, signed
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, associated_token_address
from slotzero.units import BPS, LAMPORTS_PER_SOL, Lamports
from slotzero.venues.pumpfun import (
    FeeConfig,
    Global,
    buy,
    create_v2,
    curve_address,
    fee_rates,
    fee_recipients,
    quote_buy,
    tokens_for_budget,
    trade_accounts,
)
from slotzero.venues.records import FeeRates

__all__ = ["TOKEN_ACCOUNT_BYTES", "Coin", "CoinMaker", "accounts_of_mint"]

TOKEN_ACCOUNT_BYTES: Final = 165
"""Of an account without extensions, which the venue's coins ask for none of."""

_STRIDE: Final = 3
"""Coins one after the other have other rivals."""
_SMALL: Final = Lamports(LAMPORTS_PER_SOL * 13 // 100)
"""Three of them move the price by less than 3 %."""
_LARGE: Final = Lamports(7 * LAMPORTS_PER_SOL)
"""One of them moves it by half: more than a profit of 25 % after fees takes."""
_SLIPPAGE: Final = 10_000
_CREATE_UNITS: Final = 400_000
_INITIALIZE_ACCOUNT_3: Final = b"\x12"
_BUY_UNITS: Final = 250_000


class Coin(Struct, frozen=True, kw_only=True):
    """A pool that is launched.

    Attributes:
        index: Which of its maker's coins.
        climbs: Whether a rival buys the price up as soon as the bot holds it.
    """

    index: int
    mint: Pubkey
    creator: Pubkey
    climbs: bool


class _Size(Struct, frozen=True):
    tokens: int
    limit: int


class CoinMaker:
    """Makes coins and their rivals' trades.

    Args:
        seed: What keys and names follow from; on a chain nobody else may have it.
        venue: The venue's settings.
        fees: Its fee schedule.
        token_rent: What an account of `TOKEN_ACCOUNT_BYTES` must hold.
        climb_every: Every so many coins one climbs; 0 for none.
    """

    def __init__(self, seed: int, venue: Global, fees: FeeConfig, *, token_rent: Lamports, climb_every: int) -> None:
        self._seed = seed
        self._venue = venue
        self._token_rent = token_rent
        self._climb_every = climb_every
        self._numbers = itertools.count()
        self._actors = Actors(seed)
        rates = fee_rates(fees, venue.initial_reserves, venue.token_supply)
        self._small, self._large = (_size(venue, spend, rates) for spend in (_SMALL, _LARGE))

    @property
    def wallets(self) -> frozenset[Pubkey]:
        """Return who needs money."""
        return self._actors.addresses

    def next_coin(self, blockhash: Hash) -> tuple[Coin, bytes]:
        """Return the next coin, and the transaction that creates it, signed over `blockhash` (about 0.15 ms)."""
        index = next(self._numbers)
        creators = self._actors.creators
        creator, mint = creators[index % len(creators)], mint_signer(self._seed, index)
        create = create_v2(
            user=creator.pubkey,
            mint=mint.pubkey,
            creator=creator.pubkey,
            name=f"Load {index}",
            symbol="LOAD",
            uri=f"https://ipfs.example/{self._seed}/{index}.json",
        )
        climbs = bool(self._climb_every) and index % self._climb_every == 0
        coin = Coin(index=index, mint=mint.pubkey, creator=creator.pubkey, climbs=climbs)
        return coin, signed([set_compute_unit_limit(_CREATE_UNITS), create], blockhash, creator.signer, mint)

    def rival_buy(self, coin: Coin, place: int, blockhash: Hash, *, is_large: bool = False) -> bytes:
        """Return the buy of one of a coin's rivals (about 0.1 ms).

        Args:
            coin: Which coin.
            place: Which of its rivals.
            blockhash: What it is signed over.
            is_large: Whether it moves the price by half.
        """
        rival = self._rival(coin, place)
        protocol, buyback = fee_recipients(self._venue, is_mayhem=False, choice=coin.index)
        accounts = trade_accounts(
            rival.wallet, mint=coin.mint, creator=coin.creator, fee_recipient=protocol, buyback_recipient=buyback
        )
        accounts = msgspec.structs.replace(accounts, user_tokens=_tokens_of_rival(rival, coin))
        size = self._large if is_large else self._small
        steps = [
            set_compute_unit_limit(_BUY_UNITS),
            *self._open_token_account(rival, coin),
            buy(accounts, size.tokens, size.limit),
        ]
        return signed(steps, blockhash, rival.signer)

    def accounts_of(self, coin: Coin, rivals: int) -> tuple[Pubkey, ...]:
        """Return what a coin leaves on the chain, once the bot has closed its own account (about 10 us each).

        Args:
            coin: Which coin.
            rivals: How many have bought it.
        """
        buyers = {self._rival(coin, place) for place in range(rivals)}
        return (*accounts_of_mint(coin.mint), *(_tokens_of_rival(buyer, coin) for buyer in buyers))

    def _open_token_account(self, rival: Actor, coin: Coin) -> tuple[Instruction, Instruction]:
        address = _tokens_of_rival(rival, coin)
        created = CreateAccountWithSeedParams(
            from_pubkey=rival.pubkey,
            to_pubkey=address,
            base=rival.pubkey,
            seed=_seed_of(coin),
            lamports=self._token_rent,
            space=TOKEN_ACCOUNT_BYTES,
            owner=TOKEN_2022_PROGRAM,
        )
        metas = [
            AccountMeta(address, is_signer=False, is_writable=True),
            AccountMeta(coin.mint, is_signer=False, is_writable=False),
        ]
        initialized = Instruction(TOKEN_2022_PROGRAM, _INITIALIZE_ACCOUNT_3 + bytes(rival.pubkey), metas)
        return create_account_with_seed(created), initialized

    def _rival(self, coin: Coin, place: int) -> Actor:
        rivals = self._actors.rivals
        return rivals[(coin.index * _STRIDE + place) % len(rivals)]


def accounts_of_mint(mint: Pubkey) -> tuple[Pubkey, ...]:
    """Return the accounts a coin is born with: the mint, its curve, the curve's tokens. *Pure.*"""
    curve = curve_address(mint)
    return mint, curve, associated_token_address(curve, mint, TOKEN_2022_PROGRAM)


def _seed_of(coin: Coin) -> str:
    return f"coin {coin.index}"


def _tokens_of_rival(rival: Actor, coin: Coin) -> Pubkey:
    return Pubkey.create_with_seed(rival.pubkey, _seed_of(coin), TOKEN_2022_PROGRAM)


def _size(venue: Global, spend: Lamports, rates: FeeRates) -> _Size:
    tokens = tokens_for_budget(venue.initial_reserves, spend, rates)
    quote = quote_buy(venue.initial_reserves, tokens, rates)
    assert quote is not None, "a new curve has more than a rival buys"
    return _Size(quote.tokens, quote.total * (BPS + _SLIPPAGE) // BPS)
