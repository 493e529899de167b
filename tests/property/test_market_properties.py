"""Metadata codecs never crash; a price is exact; a cleaned text does nothing; a price is never given out too old."""

import contextlib
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from market_lab import account, coin, curve_bytes, key, metaplex_bytes, mint_bytes, names_value, pointer_value
from slotzero.clock import ms
from slotzero.errors import MalformedError
from slotzero.market.metadata import read_profile
from slotzero.market.metaplex import METAPLEX_PROGRAM, parse_metaplex
from slotzero.market.price_board import Price, PriceBoard
from slotzero.market.text import shown
from slotzero.safety import LiquidityPolicy
from slotzero.safety.liquidity import judge_liquidity
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.units import MonoNs, Slot, TokenAmount
from slotzero.venues.market import PoolState
from slotzero.venues.pumpfun import PUMP_PROGRAM
from slotzero.venues.records import Reserves

MINT = key(1)
OWNERS = st.sampled_from([TOKEN_PROGRAM, TOKEN_2022_PROGRAM, METAPLEX_PROGRAM, SYSTEM_PROGRAM])
SPOTS = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=5)
U64 = st.integers(0, 2**64 - 1)


def damaged(data: bytes, spots: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(data)
    for at, value in spots:
        changed[at % len(changed)] = value
    return bytes(changed[: len(changed) - cut])


@given(data=st.binary(max_size=700), owner=OWNERS)
def test_random_bytes_are_metadata_or_malformed_never_worse(data: bytes, owner: object) -> None:
    for given_data in (data, b"\4" + data):
        with contextlib.suppress(MalformedError):
            parse_metaplex(given_data, owner)  # type: ignore[arg-type] # drawn


@given(spots=SPOTS, cut=st.integers(0, 400), creators=st.integers(0, 5))
def test_damaged_metaplex_account_is_read_or_malformed_never_worse(
    spots: list[tuple[int, int]], cut: int, creators: int
) -> None:
    with contextlib.suppress(MalformedError):
        parse_metaplex(damaged(metaplex_bytes(MINT, creators=creators), spots, cut), METAPLEX_PROGRAM)


@given(name=st.text(max_size=10), symbol=st.text(max_size=3), uri=st.text(max_size=40))
def test_names_come_back_as_they_were_written(name: str, symbol: str, uri: str) -> None:
    names = tuple(text.rstrip("\0") for text in (name, symbol, uri))
    with contextlib.suppress(UnicodeEncodeError):  # lone surrogates cannot be written at all
        classic = read_profile(
            MINT,
            [account(mint_bytes(), TOKEN_PROGRAM), account(metaplex_bytes(MINT, names), METAPLEX_PROGRAM)],  # type: ignore[arg-type] # three
        )
        modern = read_profile(
            MINT,
            [account(mint_bytes(1, pointer_value(MINT), names_value(MINT, names)), TOKEN_2022_PROGRAM), None],  # type: ignore[arg-type] # three
        )
        assert classic is not None
        assert modern is not None
        assert (classic.name, classic.symbol, classic.uri) == names
        assert (modern.name, modern.symbol, modern.uri) == names


@given(mint_spots=SPOTS, spots=SPOTS, owner=OWNERS, has_metaplex=st.booleans())
def test_damaged_accounts_are_a_profile_or_malformed_never_worse(
    mint_spots: list[tuple[int, int]], spots: list[tuple[int, int]], owner: object, *, has_metaplex: bool
) -> None:
    mint = damaged(mint_bytes(5, pointer_value(MINT), names_value(MINT)), mint_spots, 0)
    metaplex = account(damaged(metaplex_bytes(MINT), spots, 0), METAPLEX_PROGRAM) if has_metaplex else None
    with contextlib.suppress(MalformedError):
        read_profile(MINT, [account(mint, owner), metaplex])  # type: ignore[arg-type] # drawn


@given(text=st.text(alphabet=st.characters(), max_size=300), most=st.integers(1, 50))
def test_shown_text_is_printable_short_and_stays_as_it_is(text: str, most: int) -> None:
    clean = shown(text, most)
    assert len(clean) <= most
    assert clean.isprintable()
    assert shown(clean, most) == clean


@given(token=st.integers(1, 2**64 - 1), quote=U64, real=U64, supply=U64, held=U64)
def test_price_is_exact_and_rounds_down(token: int, quote: int, real: int, supply: int, held: int) -> None:
    seen: list[Price] = []
    board = PriceBoard(seen.append)
    board.follow(key(1), MINT, TokenAmount(supply))
    reserves = Reserves(virtual_token=token, virtual_quote=quote, real_token=0, real_quote=real)
    board.on_stream(key(1), PoolState(reserves=reserves, is_complete=False), Slot(1), MonoNs(1), 1)
    (price,) = seen
    assert price.value_of(held) == Fraction(quote, token) * held // 1
    assert price.market_cap == Fraction(quote, token) * supply // 1


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["stream", "read", "beat", "unreadable"]), st.integers(0, 300), st.integers(1, 2), st.booleans()
    ),
    max_size=30,
)


@given(events=EVENTS, max_age_ms=st.integers(0, 500), later=st.integers(0, 600))
def test_price_given_out_was_true_within_its_age(
    events: list[tuple[str, int, int, bool]], max_age_ms: int, later: int
) -> None:
    """A simple model: since when has which connection told of the pool without a break, and when was it last heard."""
    board = PriceBoard(lambda _: None)
    board.follow(key(1), MINT, TokenAmount(10**15))
    now, true_at, told_on = 1_000, -(10**9), None
    state = PoolState(
        reserves=Reserves(virtual_token=1, virtual_quote=1, real_token=0, real_quote=0), is_complete=False
    )
    for kind, step, connection, is_live in events:
        now += step
        instant = MonoNs(ms(now))
        match kind:
            case "stream":
                board.on_stream(key(1), state, Slot(1), instant, connection)
                true_at, told_on = now, connection
            case "read":
                board.on_read(key(1), state, Slot(1), instant, connection if is_live else None)
                true_at, told_on = now, connection if is_live else None
            case "beat":
                board.on_beat(instant, connection)
                if connection == told_on:
                    true_at = now
            case _:
                board.on_unreadable(key(1))
                true_at, told_on = -(10**9), None
    now += later
    found = board.newest(key(1), MonoNs(ms(now)), max_age_ms)
    if found is not None:
        assert now - true_at <= max_age_ms


@given(data=st.binary(max_size=200), spots=SPOTS, lamports=U64)
def test_any_pool_account_is_judged_and_never_raises(data: bytes, spots: list[tuple[int, int]], lamports: int) -> None:
    pool = coin()
    for given_data in (data, damaged(curve_bytes(pool), spots, 0)):
        for owner in (PUMP_PROGRAM, SYSTEM_PROGRAM):
            assert judge_liquidity(account(given_data, owner, lamports), pool, LiquidityPolicy())
