"""What a token says of itself: names, authorities, supply. One read, cached; never on the hot path.

A Token-2022 mint carries its names itself, or points to where they are; a mint of SPL Token has them in an account of
the Metaplex program. Both accounts are read in one call, so it takes one call whichever it is. Everything in them was
written by a stranger: the names are data, no proof of anything, and `text.shown` makes them fit for a terminal.

Cached until it is `max_age_ms` old, or an account it came from changes. A change in the moment between the read and the
server's acceptance of the subscription goes unnoticed until then, as one during a lost connection does (`clear` is for
that); so do not decide over money by it: the safety layers read for themselves.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock
from slotzero.errors import MalformedError, SlotzeroError
from slotzero.market.metaplex import MetaplexMetadata, metadata_address, parse_metaplex
from slotzero.market.single_flight import SingleFlight, SingleFlightStats
from slotzero.solana.account_watch import AccountUpdate, UpdateHandler
from slotzero.solana.rpc import AccountInfo, Commitment, Purpose
from slotzero.solana.token import MetadataPointer, Mint, TokenMetadata, parse_mint
from slotzero.units import MonoNs, TokenAmount

__all__ = [
    "Cancellable",
    "MetadataStore",
    "ReadAccounts",
    "TokenProfile",
    "WatchAccount",
    "metadata_keys",
    "read_profile",
]

_CAPACITY: Final = 1_000
_MAX_AGE_MS: Final = 60_000

Source = Literal["token_2022", "metaplex", "elsewhere", "none"]
"""Where the names stand: in the mint, in the Metaplex account, in an account nobody here can read, or nowhere."""


class TokenProfile(Struct, frozen=True, kw_only=True):
    """What a token says of itself.

    Attributes:
        source: Where the names were found.
        name: As it was written, likewise `symbol` and `uri`; "" where there are none. Not fit for a terminal as it is.
        update_authority: Who may change the names; None means nobody.
        mint_authority: Who may create more of it; None means nobody, ever.
        freeze_authority: Who may freeze a holder; None means nobody, ever.
        additional: Further pairs of key and value, in order.
    """

    mint: Pubkey
    token_program: Pubkey
    source: Source
    name: str
    symbol: str
    uri: str
    supply: TokenAmount
    decimals: int
    update_authority: Pubkey | None
    mint_authority: Pubkey | None
    freeze_authority: Pubkey | None
    additional: tuple[tuple[str, str], ...]


class ReadAccounts(Protocol):
    """How accounts are read: `Rpc.get_multiple_accounts` and `AccountReads.get` both fit."""

    async def __call__(
        self, keys: Sequence[Pubkey], commitment: Commitment, *, purpose: Purpose = "account"
    ) -> list[AccountInfo | None]:
        """Return the accounts of `keys`, in their order, from one slot."""
        ...


class Cancellable(Protocol):
    """Something that goes on until it is cancelled."""

    def cancel(self) -> None:
        """End it; safe to call twice."""
        ...


class WatchAccount(Protocol):
    """How an account's changes are heard of: `AccountReads.watch` fits, and so does a partial `watch_account`."""

    def __call__(self, key: Pubkey, commitment: Commitment, handler: UpdateHandler, /) -> Cancellable:
        """Call `handler` at each change of `key` from now on."""
        ...


def metadata_keys(mint: Pubkey) -> tuple[Pubkey, Pubkey]:
    """Return the accounts a profile is read from: the mint and its Metaplex account. *Pure.*"""
    return mint, metadata_address(mint)


def read_profile(mint: Pubkey, accounts: Sequence[AccountInfo | None]) -> TokenProfile | None:
    """Return what the accounts of `metadata_keys` say, or None where there is no such mint. *Pure.* About 25 us.

    Raises:
        MalformedError: They are not what they should be.
    """
    account, metaplex = accounts
    if account is None:
        return None
    parsed = parse_mint(account.data, account.owner)
    inside, pointer = parsed.extension(TokenMetadata), parsed.extension(MetadataPointer)
    place = None if pointer is None else pointer.address
    if inside is not None and place in (None, mint):
        return _from_extension(mint, parsed, inside)
    if place not in (None, mint, metadata_address(mint)):
        return _profile(mint, parsed, "elsewhere", authority=None if pointer is None else pointer.authority)
    if metaplex is None:
        return _profile(mint, parsed, "none")
    return _from_metaplex(mint, parsed, parse_metaplex(metaplex.data, metaplex.owner))


class MetadataStore:
    """Profiles of tokens, each read once for all who ask at the same time.

    Args:
        read: How accounts are read.
        clock: For the age of what is kept.
        tasks: Owns the reads.
        watch: How changes are heard of, so that they end what is cached; None = by age alone. Two subscriptions for
            each profile kept.
        capacity: Profiles kept; beyond it the least recently used goes.
        max_age_ms: How old a profile may be when it is given out.
        commitment: Of which state.
    """

    def __init__(
        self,
        read: ReadAccounts,
        *,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        watch: WatchAccount | None = None,
        capacity: int = _CAPACITY,
        max_age_ms: int = _MAX_AGE_MS,
        commitment: Commitment = "processed",
    ) -> None:
        self._read = read
        self._watch = watch
        self._commitment: Commitment = commitment
        self._flights: SingleFlight[Pubkey, _Kept] = SingleFlight(
            tasks=tasks, clock=clock, capacity=capacity, max_age_ms=max_age_ms, on_drop=_Kept.close
        )

    def stats(self) -> SingleFlightStats:
        """Return how the cache was used so far."""
        return self._flights.stats()

    def peek(self, mint: Pubkey) -> TokenProfile | None:
        """Return a profile that is cached, or None. Asks nobody. *Hot path.*"""
        kept = self._flights.peek(mint)
        return None if kept is None else kept.profile

    async def get(self, mint: Pubkey) -> TokenProfile | None:
        """Return the profile of `mint`, or None where there is no such mint (which is not cached). *Does I/O.*

        Raises:
            EndpointError: The read failed, for everybody who waited for it.
            MalformedError: The accounts are not what they should be.
        """
        try:
            return (await self._flights.get(mint, lambda: self._fetch(mint))).profile
        except _UnknownMintError:
            return None

    def clear(self) -> None:
        """Forget everything: changes may have gone unheard."""
        self._flights.clear()

    async def _fetch(self, mint: Pubkey) -> "_Kept":
        keys = metadata_keys(mint)

        def on_change(_update: AccountUpdate, _now: MonoNs) -> None:
            self._flights.invalidate(mint)

        # Before the read, so that as few changes as possible fall between the two.
        watches = [] if self._watch is None else [self._watch(key, self._commitment, on_change) for key in keys]
        kept = None
        try:
            profile = read_profile(mint, await self._read(keys, self._commitment, purpose="account"))
            if profile is None:
                raise _UnknownMintError(f"there is no mint {mint}")
            kept = _Kept(profile, watches)
        finally:
            if kept is None:
                for watch in watches:
                    watch.cancel()
        return kept


class _UnknownMintError(SlotzeroError):
    """There is no such mint: not cached, because it may exist in a moment."""


class _Kept:
    """A profile, and the watches that end it."""

    __slots__ = ("_watches", "profile")

    def __init__(self, profile: TokenProfile, watches: Sequence[Cancellable]) -> None:
        self.profile = profile
        self._watches = watches

    def close(self) -> None:
        for watch in self._watches:
            watch.cancel()


def _from_extension(mint: Pubkey, parsed: Mint, inside: TokenMetadata) -> TokenProfile:
    if inside.mint != mint:
        raise MalformedError(f"the metadata in mint {mint} must be its own, it claims to be that of {inside.mint}")
    return _profile(
        mint,
        parsed,
        "token_2022",
        names=(inside.name, inside.symbol, inside.uri),
        authority=inside.update_authority,
        additional=inside.additional,
    )


def _from_metaplex(mint: Pubkey, parsed: Mint, metaplex: MetaplexMetadata) -> TokenProfile:
    if metaplex.mint != mint:
        raise MalformedError(f"the metadata account of {mint} must be its own, it is that of {metaplex.mint}")
    return _profile(
        mint,
        parsed,
        "metaplex",
        names=(metaplex.name, metaplex.symbol, metaplex.uri),
        authority=metaplex.update_authority if metaplex.is_mutable else None,
    )


def _profile(
    mint: Pubkey,
    parsed: Mint,
    source: Source,
    *,
    names: tuple[str, str, str] = ("", "", ""),
    authority: Pubkey | None = None,
    additional: tuple[tuple[str, str], ...] = (),
) -> TokenProfile:
    name, symbol, uri = names
    return TokenProfile(
        mint=mint,
        token_program=parsed.token_program,
        source=source,
        name=name,
        symbol=symbol,
        uri=uri,
        supply=parsed.supply,
        decimals=parsed.decimals,
        update_authority=authority,
        mint_authority=parsed.mint_authority,
        freeze_authority=parsed.freeze_authority,
        additional=additional,
    )
