"""Names and authorities, wherever they stand; cached until something changes."""

import asyncio
from functools import partial

import pytest

from market_lab import (
    NAMES,
    PaperAccounts,
    PaperStream,
    account,
    key,
    metaplex_bytes,
    mint_bytes,
    names_value,
    pointer_value,
    text_bytes,
)
from slotzero.clock import TestClock, ms
from slotzero.errors import MalformedError, TransportError
from slotzero.market.metadata import MetadataStore, TokenProfile, metadata_keys, read_profile
from slotzero.market.metaplex import METAPLEX_PROGRAM, metadata_address, parse_metaplex
from slotzero.solana.account_watch import watch_account
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.rpc import AccountInfo
from token_lab import ROBBER, TokenLab

MINT = key(1)


def classic(**changes: object) -> list[AccountInfo | None]:
    made = metaplex_bytes(MINT, **changes)  # type: ignore[arg-type] # by name
    return [account(mint_bytes(), TOKEN_PROGRAM), account(made, METAPLEX_PROGRAM)]


def modern(*extensions: tuple[int, bytes]) -> list[AccountInfo | None]:
    return [account(mint_bytes(10**15, *extensions), TOKEN_2022_PROGRAM), None]


def names_of(profile: TokenProfile | None) -> tuple[str, str, str]:
    assert profile is not None
    return profile.name, profile.symbol, profile.uri


# ---- where the names stand -----------------------------------------------------------------------------------------


def test_metaplex_account_gives_its_names_without_their_padding() -> None:
    profile = read_profile(MINT, classic(authority=key(7)))
    assert profile is not None
    assert (profile.source, names_of(profile)) == ("metaplex", NAMES)
    assert (profile.update_authority, profile.mint_authority, profile.freeze_authority) == (key(7), None, None)
    assert (profile.supply, profile.decimals) == (10**15, 6)


def test_metaplex_account_that_cannot_be_changed_has_no_update_authority() -> None:
    profile = read_profile(MINT, classic(is_mutable=False))
    assert profile is not None
    assert profile.update_authority is None


@pytest.mark.parametrize("creators", [0, 1, 5])
def test_metaplex_list_of_creators_is_passed_over(creators: int) -> None:
    assert names_of(read_profile(MINT, classic(creators=creators))) == NAMES


@pytest.mark.parametrize("size", [1, 64, 65, 100, 300, 330])
def test_metaplex_account_that_ends_early_is_malformed(size: int) -> None:
    with pytest.raises(MalformedError):
        parse_metaplex(metaplex_bytes(MINT)[:size], METAPLEX_PROGRAM)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\5" + metaplex_bytes(MINT)[1:], "must begin with 4"),
        (metaplex_bytes(MINT, creators=6), "at most 5 creators"),
        (b"\4" + bytes(64) + text_bytes("x")[:3] + b"\xff" + b"x", "must lie inside"),
        (b"\4" + bytes(64) + b"\2\0\0\0\xff\xfe" + bytes(300), "must be UTF-8"),
    ],
)
def test_hostile_metaplex_bytes_are_malformed(data: bytes, what: str) -> None:
    with pytest.raises(MalformedError, match=what):
        parse_metaplex(data, METAPLEX_PROGRAM)


def test_bytes_of_another_program_are_malformed_whatever_they_say() -> None:
    with pytest.raises(MalformedError, match="must be owned by"):
        parse_metaplex(metaplex_bytes(MINT), SYSTEM_PROGRAM)


def test_metaplex_account_of_another_mint_is_malformed() -> None:
    other = account(metaplex_bytes(key(2)), METAPLEX_PROGRAM)
    with pytest.raises(MalformedError, match="must be its own"):
        read_profile(MINT, [account(mint_bytes(), TOKEN_PROGRAM), other])


def test_mint_that_points_to_itself_gives_the_names_inside() -> None:
    profile = read_profile(MINT, modern(pointer_value(MINT), names_value(MINT, authority=key(9))))
    assert profile is not None
    assert (profile.source, names_of(profile), profile.update_authority) == ("token_2022", NAMES, key(9))


def test_names_inside_of_another_mint_are_malformed() -> None:
    with pytest.raises(MalformedError, match="must be its own"):
        read_profile(MINT, modern(pointer_value(MINT), names_value(key(2))))


def test_pointer_wins_over_names_left_inside() -> None:
    profile = read_profile(MINT, modern(pointer_value(key(3), key(4)), names_value(MINT)))
    assert profile is not None
    assert (profile.source, profile.name, profile.update_authority) == ("elsewhere", "", key(4))


def test_pointer_to_the_metaplex_account_is_followed() -> None:
    accounts = modern(pointer_value(metadata_address(MINT)))
    accounts[1] = account(metaplex_bytes(MINT), METAPLEX_PROGRAM)
    profile = read_profile(MINT, accounts)
    assert profile is not None
    assert (profile.source, profile.token_program) == ("metaplex", TOKEN_2022_PROGRAM)


def test_mint_without_any_names_has_none() -> None:
    profile = read_profile(MINT, [account(mint_bytes(), TOKEN_PROGRAM), None])
    assert profile is not None
    assert (profile.source, names_of(profile)) == ("none", ("", "", ""))


def test_names_written_by_the_real_token_program_are_read() -> None:
    lab = TokenLab()
    mint = lab.mint(names=("Längerer Name 🐸", "FROG", ""), metadata_authority=ROBBER, freeze_authority=ROBBER)
    held = lab.svm.get_account(mint)
    assert held is not None
    profile = read_profile(mint, [account(held.data, held.owner), None])
    assert profile is not None
    assert names_of(profile) == ("Längerer Name 🐸", "FROG", "")
    assert (profile.update_authority, profile.freeze_authority) == (ROBBER, ROBBER)


# ---- the store -----------------------------------------------------------------------------------------------------


async def test_profile_costs_one_call_for_all_who_ask_and_none_afterwards() -> None:
    accounts = PaperAccounts()
    accounts.hold_classic_coin(MINT, metadata_address(MINT))
    async with asyncio.TaskGroup() as group:
        store = MetadataStore(accounts, clock=TestClock(), tasks=group)
        accounts.may_answer.clear()
        callers = [group.create_task(store.get(MINT)) for _ in range(9)]
        await asyncio.sleep(0)
        accounts.may_answer.set()
        assert {names_of(profile) for profile in await asyncio.gather(*callers)} == {NAMES}
        assert store.peek(MINT) == await store.get(MINT)
    assert accounts.calls == [metadata_keys(MINT)]


async def test_unknown_mint_is_none_and_asked_for_again() -> None:
    accounts = PaperAccounts()
    async with asyncio.TaskGroup() as group:
        store = MetadataStore(accounts, clock=TestClock(), tasks=group)
        assert await store.get(MINT) is None
        accounts.hold_classic_coin(MINT, metadata_address(MINT))
        assert names_of(await store.get(MINT)) == NAMES


async def test_fault_is_raised_and_not_cached() -> None:
    accounts, clock = PaperAccounts(), TestClock()
    accounts.hold_classic_coin(MINT, metadata_address(MINT))
    accounts.fault = TransportError("http://node", "closed")
    stream = PaperStream(clock)
    async with asyncio.TaskGroup() as group:
        store = MetadataStore(accounts, clock=clock, tasks=group, watch=partial(watch_account, stream.pubsub))
        with pytest.raises(TransportError):
            await store.get(MINT)
        await asyncio.sleep(0)
        assert not stream.is_watched(MINT)
        accounts.fault = None
        assert names_of(await store.get(MINT)) == NAMES


@pytest.mark.parametrize("at", [0, 1])
async def test_change_of_either_account_ends_what_is_cached(at: int) -> None:
    accounts, clock = PaperAccounts(), TestClock()
    accounts.hold_classic_coin(MINT, metadata_address(MINT))
    stream = PaperStream(clock)
    async with asyncio.TaskGroup() as group:
        store = MetadataStore(accounts, clock=clock, tasks=group, watch=partial(watch_account, stream.pubsub))
        await store.get(MINT)
        await asyncio.sleep(0)
        accounts.hold_classic_coin(MINT, metadata_address(MINT), names=("New", "NEW", ""))
        stream.account(metadata_keys(MINT)[at], b"whatever")
        assert store.peek(MINT) is None
        await asyncio.sleep(0)
        assert not stream.is_watched(MINT)
        assert names_of(await store.get(MINT)) == ("New", "NEW", "")
        assert stream.is_watched(MINT)


async def test_profile_that_has_grown_old_is_read_anew() -> None:
    accounts, clock = PaperAccounts(), TestClock()
    accounts.hold_classic_coin(MINT, metadata_address(MINT))
    async with asyncio.TaskGroup() as group:
        store = MetadataStore(accounts, clock=clock, tasks=group, max_age_ms=50)
        await store.get(MINT)
        await clock.advance(ms(51))
        await store.get(MINT)
        store.clear()
        await store.get(MINT)
    assert len(accounts.calls) == 3
