"""The venues by name: all that detection has to know of one, so that a further venue is one more record here."""

from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.units import Lamports, TokenAmount
from slotzero.venues import pumpfun
from slotzero.venues.market import Trader
from slotzero.venues.pumpfun.events import CREATE_DISCRIMINATOR, TRADE_DISCRIMINATOR
from slotzero.venues.pumpfun.trader import PumpfunTrader
from slotzero.venues.records import Reserves

__all__ = ["PUMPFUN", "VENUES", "Creation", "Trade", "Venue"]


class Creation(Protocol):
    """What a venue's creation event says, in the words of `NewPool`."""

    @property
    def name(self) -> str: ...  # noqa: D102 the words of NewPool, here and below
    @property
    def symbol(self) -> str: ...  # noqa: D102
    @property
    def uri(self) -> str: ...  # noqa: D102
    @property
    def mint(self) -> Pubkey: ...  # noqa: D102
    @property
    def pool(self) -> Pubkey: ...  # noqa: D102
    @property
    def user(self) -> Pubkey: ...  # noqa: D102
    @property
    def creator(self) -> Pubkey: ...  # noqa: D102
    @property
    def reserves(self) -> Reserves: ...  # noqa: D102
    @property
    def token_supply(self) -> TokenAmount: ...  # noqa: D102
    @property
    def token_program(self) -> Pubkey: ...  # noqa: D102
    @property
    def quote_mint(self) -> Pubkey | None: ...  # noqa: D102
    @property
    def creator_fee_bps(self) -> int: ...  # noqa: D102
    @property
    def is_mayhem(self) -> bool: ...  # noqa: D102
    @property
    def is_cashback(self) -> bool: ...  # noqa: D102
    @property
    def is_holder_reward(self) -> bool: ...  # noqa: D102


class Trade(Protocol):
    """What a venue's trade event says: who traded what, and the reserves after it."""

    @property
    def mint(self) -> Pubkey: ...  # noqa: D102
    @property
    def user(self) -> Pubkey: ...  # noqa: D102
    @property
    def is_buy(self) -> bool: ...  # noqa: D102
    @property
    def tokens(self) -> TokenAmount: ...  # noqa: D102
    @property
    def quote_amount(self) -> Lamports: ...  # noqa: D102
    @property
    def reserves(self) -> Reserves: ...  # noqa: D102


class Venue(Struct, frozen=True, kw_only=True):
    """One venue.

    Attributes:
        name: As in `NewPool.venue`.
        program: The program that must have emitted an event for it to count.
        event_authority: Which address signs the program's calls to itself that carry its events.
        creation_event: The eight-byte discriminator its creation event begins with.
        trade_event: The same of its trade event.
        creation_logs: What the program logs when it begins to create a pool. Where it was logged and no creation event
            could be read, the venue has changed and a person should know.
        decode_creation: Reads a creation event from its bytes; raises MalformedError.
        decode_trade: Reads a trade event from its bytes; raises MalformedError.
        pool_address: Derives a pool's account from its mint.
        trader: Makes what trades its pools for a wallet.
    """

    name: str
    program: Pubkey
    event_authority: Pubkey
    creation_event: bytes
    trade_event: bytes
    creation_logs: frozenset[str]
    decode_creation: Callable[[bytes], Creation]
    decode_trade: Callable[[bytes], Trade]
    pool_address: Callable[[Pubkey], Pubkey]
    trader: Callable[[Pubkey], Trader]


PUMPFUN: Final = Venue(
    name="pumpfun",
    program=pumpfun.PUMP_PROGRAM,
    event_authority=pumpfun.EVENT_AUTHORITY,
    creation_event=CREATE_DISCRIMINATOR,
    trade_event=TRADE_DISCRIMINATOR,
    creation_logs=frozenset({"Program log: Instruction: Create", "Program log: Instruction: CreateV2"}),
    decode_creation=pumpfun.decode_create,
    decode_trade=pumpfun.decode_trade_summary,
    pool_address=pumpfun.curve_address,
    trader=PumpfunTrader,
)

VENUES: Final = {venue.name: venue for venue in (PUMPFUN,)}
"""Every venue by its name."""
