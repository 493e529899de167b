"""What is launched: the shares of kinds and flavours, and the plan of each coin. *Pure.*

The plan of a coin follows from the seed, the mix and the coin's index alone, so that a run can be repeated and any of
its coins looked at again without those before it. Shares are dealt out, not diced: a short run has them too.
"""

import enum
import random
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

__all__ = [
    "BLOCK",
    "MAX_RIVALS",
    "CoinKind",
    "CoinPlan",
    "Flavour",
    "FlavourWeights",
    "Mix",
    "TrapWeights",
    "plan_coin",
    "seeded",
]

BLOCK: Final = 5
"""Coins among which the traps are shuffled."""
MAX_RIVALS: Final = 50

_FIRST_BLOCK_TRAPS: Final = 2
_FIRST_BLOCK_FROM_PERCENT: Final = 20
_FRONT_RUN_BLOCK: Final = 20
_FLAVOUR_DECK: Final = 10
_PERCENT: Final = 100


class CoinKind(enum.StrEnum):
    """What a coin does to those who buy it."""

    HONEST = "honest"
    TRAP_FREEZE = "trap_freeze"
    """Its creator freezes each buyer's token account two slots after the buy."""
    TRAP_FEE = "trap_fee"
    """Each transfer withholds nine tenths."""


class Flavour(enum.StrEnum):
    """Where the price of a coin goes while its script lasts."""

    CLIMBING = "climbing"
    FALLING = "falling"
    FLAT = "flat"


class TrapWeights(Struct, frozen=True, kw_only=True):
    """How the traps divide among their kinds; any scale."""

    freeze: int = 50
    fee: int = 50


class FlavourWeights(Struct, frozen=True, kw_only=True):
    """How the coins divide among the flavours; any scale."""

    climbing: int = 40
    falling: int = 30
    flat: int = 30


class Mix(Struct, frozen=True, kw_only=True):
    """What is launched, by shares.

    Attributes:
        trap_percent: Share of all coins, 0 to 100. From 40 on (with equal trap weights) each block of five coins has
            both kinds of traps; from 20 on the first block has.
        rivals_per_coin: How many other wallets trade each coin, 0 to 50. Without any no coin climbs.
        front_run_percent: Share of the honest coins whose price a rival moves right after the creation by more than
            the usual slippage; needs a rival.
        creator_buy_percent: How likely a creator buys in the creating transaction, falling coins apart: theirs always
            do.
        traps: Kinds of traps.
        flavours: Flavours, of honest coins and of traps.
    """

    trap_percent: int = 40
    rivals_per_coin: int = 3
    front_run_percent: int = 15
    creator_buy_percent: int = 50
    traps: TrapWeights = TrapWeights()
    flavours: FlavourWeights = FlavourWeights()


class CoinPlan(Struct, frozen=True, kw_only=True):
    """What one coin is to be.

    Attributes:
        is_front_run: Whether a rival's large buy follows the creation at once.
        has_creator_buy: Whether the creator buys in the creating transaction; a falling coin's does so anyway.
        rivals: How many other wallets trade it, at most 50.
    """

    kind: CoinKind = CoinKind.HONEST
    flavour: Flavour = Flavour.FLAT
    is_front_run: bool = False
    has_creator_buy: bool = False
    rivals: int = 3


def seeded(seed: int, *words: object) -> random.Random:
    """Return a generator for one decision of a run; its words tell it from all others."""
    return random.Random(" ".join(("slotzero launcher", str(seed), *map(str, words))))  # noqa: S311 - a play, no secret


def plan_coin(mix: Mix, seed: int, index: int) -> CoinPlan:
    """Return the plan of the coin `index` (from 0) of a run. *Pure.*"""
    is_trap, traps_before = _deal(
        index, mix.trap_percent, seeded_by=(seed, "traps"), block=BLOCK, first=_first_block_traps(mix.trap_percent)
    )
    # Traps and honest coins are counted apart, so that each has its flavours in the shares asked for.
    rank = traps_before if is_trap else index - traps_before
    flavour = _flavour(mix, seed, "trap" if is_trap else "honest", rank)
    if flavour is Flavour.CLIMBING and not mix.rivals_per_coin:
        flavour = Flavour.FLAT
    is_chosen, _ = _deal(rank, mix.front_run_percent, seeded_by=(seed, "front runs"), block=_FRONT_RUN_BLOCK)
    return CoinPlan(
        kind=_trap_kind(mix, seed, rank) if is_trap else CoinKind.HONEST,
        flavour=flavour,
        is_front_run=is_chosen and not is_trap and mix.rivals_per_coin > 0,
        has_creator_buy=seeded(seed, "creator buy", index).randrange(_PERCENT) < mix.creator_buy_percent,
        rivals=mix.rivals_per_coin,
    )


def _first_block_traps(trap_percent: int) -> int:
    # Below 40 percent there are fewer than two traps to a block, and a short run would miss a kind.
    return _FIRST_BLOCK_TRAPS if trap_percent >= _FIRST_BLOCK_FROM_PERCENT else 0


def _deal(index: int, percent: int, *, seeded_by: tuple[int, str], block: int, first: int = 0) -> tuple[bool, int]:
    """Return whether `index` is among the chosen `percent`, and how many before it are.

    Each block has as many as keep the total within one of the share (beyond the first block, which has at least
    `first`); within the block they are shuffled.
    """
    number, place = divmod(index, block)
    before = _dealt(number, percent, block, first)
    places = list(range(block))
    seeded(*seeded_by, number).shuffle(places)
    chosen = places[: _dealt(number + 1, percent, block, first) - before]
    return place in chosen, before + sum(other < place for other in chosen)


def _dealt(blocks: int, percent: int, block: int, first: int) -> int:
    """Return how many are chosen in the first `blocks` blocks."""
    return max(first if blocks else 0, blocks * block * percent // _PERCENT)


def _trap_kind(mix: Mix, seed: int, rank: int) -> CoinKind:
    """Spread the kinds evenly: with equal weights they alternate, and the seed says which is first."""
    fee, total = mix.traps.fee, mix.traps.fee + mix.traps.freeze
    phase = seeded(seed, "first trap").randrange(total)
    is_fee = ((rank + 1) * fee + phase) // total > (rank * fee + phase) // total
    return CoinKind.TRAP_FEE if is_fee else CoinKind.TRAP_FREEZE


def _flavour(mix: Mix, seed: int, among: str, rank: int) -> Flavour:
    """Deal the flavours in decks of ten, in rounds that hold each flavour left: the first coins show all of them."""
    number, place = divmod(rank, _FLAVOUR_DECK)
    weights = mix.flavours
    left = dict(
        zip(
            (Flavour.CLIMBING, Flavour.FALLING, Flavour.FLAT),
            _apportioned((weights.climbing, weights.falling, weights.flat), _FLAVOUR_DECK),
            strict=True,
        )
    )
    generator = seeded(seed, among, "flavours", number)
    deck: list[Flavour] = []
    while len(deck) < _FLAVOUR_DECK:
        hand = [flavour for flavour, count in left.items() if count]
        generator.shuffle(hand)
        deck += hand
        for flavour in hand:
            left[flavour] -= 1
    return deck[place]


def _apportioned(weights: Sequence[int], seats: int) -> list[int]:
    """Divide `seats` by largest remainder; at least one weight is positive."""
    total = sum(weights)
    counts = [seats * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(seats * weights[i] % total), i))
    for i in by_remainder[: seats - sum(counts)]:
        counts[i] += 1
    return counts
