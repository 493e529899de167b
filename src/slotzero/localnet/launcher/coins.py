"""The script of one coin: what it is called, who makes it, and who trades it when. *Pure:* seed, index and plan in.

Where prices can go is bounded by the curve. It starts at 30 SOL of virtual quote V and prices at V squared; nobody
can sell what was not bought, so V never falls below 30. A sniper prices from the creation and tolerates a few percent:
whoever buys more than that between the creation and its buy makes it fail. Hence

* a *falling* coin falls only as far as its creator bought **in the creating transaction**: 4.4-6.4 SOL are 13-19 % of
  the supply (a common filter refuses more than 20 %) and a fall of 24-32 %;
* a *climbing* coin's rivals stay away for the first quarter of a second;
* a *front-run* coin is the one a naive buy fails on: 1.5-3 SOL move the price by 8-21 %.

Everybody sells out when the script ends, so that money and rent go back to where they came from.
"""

from collections.abc import Iterator
from math import isqrt
from random import Random
from typing import Final, TypeAlias, assert_never

from msgspec import Struct

from slotzero.clock import ms
from slotzero.localnet.launcher.mix import CoinKind, CoinPlan, Flavour, seeded
from slotzero.units import BPS, LAMPORTS_PER_SOL, BasisPoints, DurationNs, Lamports

__all__ = ["CREATORS", "RIVALS", "Action", "Buy", "CoinScript", "Sell", "script_coin"]

CREATORS: Final = 32
"""Wallets that launch coins; each launches again and again, as on mainnet."""
RIVALS: Final = 64
"""Wallets that trade them."""

LAUNCH_QUOTE: Final = 30 * LAMPORTS_PER_SOL
"""The virtual quote of a new curve."""

_MILLI_SOL: Final = LAMPORTS_PER_SOL // 1000
_ALL: Final = BasisPoints(BPS)
_CALM_SLIPPAGE: Final = BasisPoints(1_000)
_HASTY_SLIPPAGE: Final = BasisPoints(500)
_FRONT_RUNNER_SLIPPAGE: Final = BasisPoints(3_000)

_LEAVE_MS: Final = (11_000, 13_000)
_CALM_MS: Final = (250, 500)
"""When a rival's first trade comes, where none is in a hurry: a sniper's buy has landed by then."""

_CREATOR_BUY_MILLI: Final = (50, 600)
_CREATOR_FALLING_BUY_MILLI: Final = (4_400, 6_400)
_FRONT_RUN_BUY_MILLI: Final = (1_500, 3_000)
_LATE_BUY_MILLI: Final = (300, 1_000)
_CLIMB_TO_BPS: Final = (13_600, 18_000)
_CLIMB_BUYS: Final = 5
_CLIMB_END_MS: Final = (1_000, 4_000)
_FLAT_MILLI: Final = 400
_FALLING_MILLI: Final = 250

_ADJECTIVES: Final = """
    Angry Based Bored Brave Chill Chubby Cosmic Crypto Dizzy Golden Grumpy Happy Hyper Lazy Lucky Magic Mini Neon
    Rapid Retro Royal Sleepy Smol Solar Spicy Super Tiny Turbo Wild Zen
""".split()  # noqa: SIM905 - a literal would take a line for each word
_NOUNS: Final = """
    Asp Badger Bear Bonk Bull Camel Cat Corgi Crab Dog Duck Ferret Fox Frog Gecko Goat Hamster Hippo Koala Lemur
    Llama Lobster Moose Moth Otter Owl Panda Parrot Penguin Pigeon Pug Raccoon Rat Seal Shark Sloth Squid Toad
    Turtle Walrus Whale Wolf Wombat Yak
""".split()  # noqa: SIM905 - likewise
_SUFFIXES: Final = ("", "", "", "", " AI", " Coin", " Inu", " DAO", " Wif Hat")


class Buy(Struct, frozen=True, kw_only=True):
    """A buy of as many tokens as `spend_lamports` pay for, fees included.

    Attributes:
        after: How long after the creation.
        rival: Whose: one of `RIVALS`; None = the coin's creator.
        slippage: How much more than quoted it may cost.
        prices_from_launch: Whether it is quoted from the reserves at the creation, as a sniper does, instead of now.
    """

    after: DurationNs
    rival: int | None
    spend_lamports: Lamports
    slippage: BasisPoints
    prices_from_launch: bool = False


class Sell(Struct, frozen=True, kw_only=True):
    """A sell at any price of a share of what the wallet then holds; all of it closes the token account as well.

    Attributes:
        after: How long after the creation.
        rival: Whose: one of `RIVALS`; None = the coin's creator.
    """

    after: DurationNs
    rival: int | None
    share: BasisPoints


Action: TypeAlias = Buy | Sell


class CoinScript(Struct, frozen=True, kw_only=True):
    """Everything that happens to one coin.

    Attributes:
        seed: With `index`, what the mint's key follows from.
        creator: One of `CREATORS`.
        creator_buy_lamports: What the creator spends in the creating transaction; 0 = nothing.
        actions: In the order of their time.
    """

    seed: int
    index: int
    plan: CoinPlan
    name: str
    symbol: str
    uri: str
    creator: int
    creator_buy_lamports: Lamports
    actions: tuple[Action, ...]

    @property
    def kind(self) -> CoinKind:
        """What it does to those who buy it."""
        return self.plan.kind


def script_coin(seed: int, index: int, plan: CoinPlan) -> CoinScript:
    """Write the script of a coin. *Pure.*

    Args:
        seed: The run's.
        index: Of the coin in the run. Two coins of one chain need different ones: their mint would be the same.
        plan: From `plan_coin`, or made by hand to launch exactly one coin of some kind.

    Raises:
        ValueError: The plan has more rivals than there are wallets, or needs one and has none.
    """
    if not 0 <= plan.rivals <= RIVALS:
        raise ValueError(f"a coin has 0 to {RIVALS} rivals, its plan had {plan.rivals}")
    if plan.rivals == 0 and (plan.is_front_run or plan.flavour is Flavour.CLIMBING):
        raise ValueError(f"a coin that is {plan.flavour} or front-run needs a rival, its plan had none")
    generator = seeded(seed, "coin", index)
    name, symbol = _names(generator)
    creator_buy = _creator_buy(generator, plan)
    rivals = generator.sample(range(RIVALS), plan.rivals)
    actions = [*_front_run(generator, rivals)] if plan.is_front_run else []
    match plan.flavour:
        case Flavour.CLIMBING:
            actions += _climb(generator, rivals, LAUNCH_QUOTE + creator_buy)
        case Flavour.FALLING:
            actions += _fall(generator, rivals)
        case Flavour.FLAT:
            actions += _linger(generator, rivals)
        case _:
            assert_never(plan.flavour)
    actions += [Sell(after=_between_ms(generator, _LEAVE_MS), rival=rival, share=_ALL) for rival in (*rivals, None)]
    return CoinScript(
        seed=seed,
        index=index,
        plan=plan,
        name=name,
        symbol=symbol,
        # A host nobody can own (RFC 2606): a bot that follows the link reaches no stranger.
        uri=f"https://ipfs.example/{generator.getrandbits(128):032x}.json",
        creator=generator.randrange(CREATORS),
        creator_buy_lamports=Lamports(creator_buy),
        actions=tuple(sorted(actions, key=lambda action: action.after)),
    )


def _names(generator: Random) -> tuple[str, str]:
    adjective, noun = generator.choice(_ADJECTIVES), generator.choice(_NOUNS)
    name = f"{adjective} {noun}{generator.choice(_SUFFIXES)}"
    return name, generator.choice((noun, adjective[0] + noun)).upper()


def _creator_buy(generator: Random, plan: CoinPlan) -> int:
    if plan.flavour is Flavour.FALLING:
        return _between(generator, _CREATOR_FALLING_BUY_MILLI) * _MILLI_SOL
    return _between(generator, _CREATOR_BUY_MILLI) * _MILLI_SOL if plan.has_creator_buy else 0


def _front_run(generator: Random, rivals: list[int]) -> Iterator[Action]:
    """One rival is faster than everybody; a second one is not, and fails on its own slippage."""
    after_us = generator.choice((0, generator.randrange(3_000)))
    yield Buy(
        after=DurationNs(after_us * 1_000),
        rival=rivals[0],
        spend_lamports=Lamports(_between(generator, _FRONT_RUN_BUY_MILLI) * _MILLI_SOL),
        slippage=_FRONT_RUNNER_SLIPPAGE,
    )
    if len(rivals) > 1:
        yield Buy(
            after=DurationNs((after_us + 1 + generator.randrange(2_000)) * 1_000),
            rival=rivals[1],
            spend_lamports=Lamports(_between(generator, _LATE_BUY_MILLI) * _MILLI_SOL),
            slippage=_HASTY_SLIPPAGE,
            prices_from_launch=True,
        )


def _climb(generator: Random, rivals: list[int], quote: int) -> Iterator[Action]:
    """Rivals buy the price up by 36-80 % within 1-4 s: a profit of 25 % after fees of 1.25 % each way needs 28 %."""
    target = _between(generator, _CLIMB_TO_BPS)
    spend = quote * (isqrt(target * BPS) - BPS) // BPS  # the price is V squared
    spend += spend * 125 // BPS + 1  # what the fees take away
    buys = max(_CLIMB_BUYS, len(rivals))
    start, end = _between_ms(generator, _CALM_MS), _between_ms(generator, _CLIMB_END_MS)
    times = sorted([start, *(generator.randrange(start, end) for _ in range(buys - 2)), end])
    for i, (after, lamports) in enumerate(zip(times, _divided(generator, spend, buys), strict=True)):
        yield Buy(
            after=DurationNs(after),
            rival=rivals[i % len(rivals)],
            spend_lamports=Lamports(lamports),
            slippage=_CALM_SLIPPAGE,
        )


def _fall(generator: Random, rivals: list[int]) -> Iterator[Action]:
    """The creator sells what it bought with the creation, within 0.9-2.8 s, and the rivals run with it."""
    yield Sell(
        after=_between_ms(generator, (900, 1_600)), rival=None, share=BasisPoints(_between(generator, (4_500, 6_500)))
    )
    yield Sell(after=_between_ms(generator, (1_700, 2_800)), rival=None, share=_ALL)
    for rival, lamports in zip(rivals, _divided(generator, _FALLING_MILLI * _MILLI_SOL, len(rivals)), strict=True):
        yield Buy(
            after=_between_ms(generator, (_CALM_MS[0], 850)),
            rival=rival,
            spend_lamports=Lamports(lamports),
            slippage=_CALM_SLIPPAGE,
        )
        yield Sell(after=_between_ms(generator, (1_200, 2_500)), rival=rival, share=_ALL)


def _linger(generator: Random, rivals: list[int]) -> Iterator[Action]:
    """Small buys and sells: together they never move the price by more than 3 %."""
    for rival, lamports in zip(rivals, _divided(generator, _FLAT_MILLI * _MILLI_SOL, len(rivals)), strict=True):
        yield Buy(
            after=_between_ms(generator, (_CALM_MS[0], 4_000)),
            rival=rival,
            spend_lamports=Lamports(lamports),
            slippage=_CALM_SLIPPAGE,
        )
        yield Sell(
            after=_between_ms(generator, (4_500, 9_500)),
            rival=rival,
            share=BasisPoints(_between(generator, (3_000, 8_000))),
        )


def _between(generator: Random, bounds: tuple[int, int]) -> int:
    return generator.randint(*bounds)


def _between_ms(generator: Random, bounds_ms: tuple[int, int]) -> DurationNs:
    # Microseconds, not milliseconds: actions of coins launched together shall not fall together.
    low, high = bounds_ms
    return DurationNs(generator.randint(ms(low) // 1_000, ms(high) // 1_000) * 1_000)


def _divided(generator: Random, total: int, parts: int) -> list[int]:
    """Divide a sum into `parts` of which none is more than three times another."""
    weights = [generator.randint(100, 300) for _ in range(parts)]
    return [total * weight // sum(weights) for weight in weights]
