import contextlib
import struct

from hypothesis import assume, given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.localnet.mint_surgery import (
    account_with_transfer_fee_amount,
    mint_with_freeze_authority,
    mint_with_transfer_fee,
)
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.token import TransferFeeAmount, TransferFeeConfig, parse_mint, parse_token_account
from token_lab import key

PROGRAMS = st.sampled_from([TOKEN_PROGRAM, TOKEN_2022_PROGRAM, SYSTEM_PROGRAM])
MINT = struct.pack("<I32sQBBI32s", 0, bytes(32), 10**15, 6, 1, 0, bytes(32))
ACCOUNT = struct.pack("<32s32sQI32sBIQQI32s", bytes(key(1)), bytes(key(2)), 7, 0, bytes(32), 1, 0, 0, 0, 0, bytes(32))
KEYS = st.binary(min_size=32, max_size=32)
LENGTHS = {3: 32, 6: None, 9: 0, 12: 32, 14: 64, 18: 64, 26: 33}


@st.composite
def extensions(draw: st.DrawFn) -> list[bytes]:
    """Draw well-formed extensions, each type at most once, unknown types among them."""
    kinds = draw(st.lists(st.sampled_from([*LENGTHS, 10, 24, 99, 300, 65_535]), unique=True, max_size=6))
    drawn = []
    for kind in kinds:
        length = LENGTHS.get(kind, draw(st.integers(0, 80)))
        value = (
            draw(st.sampled_from([b"\1", b"\2"]))
            if length is None
            else draw(st.binary(min_size=length, max_size=length))
        )
        drawn.append(struct.pack("<HH", kind, len(value)) + value)
    return drawn


def mint_of(parts: list[bytes]) -> bytes:
    return MINT.ljust(165, b"\0") + b"\1" + b"".join(parts) if parts else MINT


def account_of(parts: list[bytes]) -> bytes:
    return ACCOUNT + b"\2" + b"".join(parts) if parts else ACCOUNT


@given(data=st.binary(max_size=600), owner=PROGRAMS)
def test_random_bytes_are_parsed_or_malformed_never_worse(data: bytes, owner: Pubkey) -> None:
    for parse in (parse_mint, parse_token_account):
        with contextlib.suppress(MalformedError):
            parse(data, owner)


@given(
    parts=extensions(),
    spots=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 9),
)
def test_mutated_mint_is_parsed_or_malformed_never_worse(
    parts: list[bytes], spots: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(mint_of(parts))
    for at, value in spots:
        data[at % len(data)] = value
    with contextlib.suppress(MalformedError):
        parse_mint(bytes(data[: len(data) - cut]), TOKEN_2022_PROGRAM)


@given(value=st.binary(max_size=200))
def test_random_token_metadata_is_parsed_or_malformed_never_worse(value: bytes) -> None:
    data = mint_of([struct.pack("<HH", 19, len(value)) + value])
    with contextlib.suppress(MalformedError):
        parse_mint(data, TOKEN_2022_PROGRAM)


@given(parts=extensions(), shuffle=st.randoms(use_true_random=False))
def test_order_of_extensions_changes_nothing_but_their_order(parts: list[bytes], shuffle: object) -> None:
    assume(len(mint_of(parts)) != 355)
    reordered = sorted(parts, key=lambda _: shuffle.random())  # type: ignore[attr-defined]  # a random.Random
    one = parse_mint(mint_of(parts), TOKEN_2022_PROGRAM)
    other = parse_mint(mint_of(reordered), TOKEN_2022_PROGRAM)
    assert sorted(one.extensions, key=lambda item: item.kind) == sorted(other.extensions, key=lambda item: item.kind)
    assert len(one.extensions) == len(parts)


@given(parts=extensions(), authority=KEYS, bps=st.integers(0, 10_000), rest=st.integers(0, 5))
def test_surgery_on_a_mint_changes_what_it_says_and_nothing_else(
    parts: list[bytes], authority: bytes, bps: int, rest: int
) -> None:
    data = mint_of(parts)
    data += bytes(rest) if parts else b""
    assume(len(data) != 355)
    who = Pubkey.from_bytes(authority)
    before = parse_mint(data, TOKEN_2022_PROGRAM)

    frozen = parse_mint(mint_with_freeze_authority(data, TOKEN_2022_PROGRAM, who), TOKEN_2022_PROGRAM)
    assert frozen.freeze_authority == who
    assert (frozen.mint_authority, frozen.supply, frozen.extensions) == (None, before.supply, before.extensions)

    taxed = parse_mint(mint_with_transfer_fee(data, who, transfer_fee_bps=bps), TOKEN_2022_PROGRAM)
    assert taxed.extensions[:-1] == before.extensions
    config = taxed.extension(TransferFeeConfig)
    assert config is not None
    assert {config.at(epoch).bps for epoch in (0, 1, 10**6)} == {bps}
    assert (taxed.supply, taxed.freeze_authority) == (before.supply, None)


@given(parts=extensions())
def test_surgery_on_an_account_adds_the_fee_amount_once(parts: list[bytes]) -> None:
    data = account_of(parts)
    assume(len(data) != 355)
    before = parse_token_account(data, TOKEN_2022_PROGRAM)
    rewritten = account_with_transfer_fee_amount(data)
    after = parse_token_account(rewritten, TOKEN_2022_PROGRAM)
    assert after.extensions[:-1] == before.extensions
    assert after.extensions[-1] == TransferFeeAmount(withheld=after.extensions[-1].withheld)  # type: ignore[union-attr]  # shown by ==
    assert (after.amount, after.owner, after.mint) == (before.amount, before.owner, before.mint)
    assert account_with_transfer_fee_amount(rewritten) == rewritten
