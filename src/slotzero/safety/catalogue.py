"""The layers by the names a configuration calls them, and what each costs."""

from collections.abc import Callable, Iterable
from typing import Final, Literal, get_args

from solders.pubkey import Pubkey

from slotzero.safety.creator_history import CreatorHistoryLayer, CreatorHistoryPolicy
from slotzero.safety.holders import HolderPolicy, HoldersLayer
from slotzero.safety.layers import Layer, MintFactsLayer, RoundTripLayer
from slotzero.safety.liquidity import LiquidityLayer, LiquidityPolicy

__all__ = ["LAYER_NAMES", "SNIPE_LAYERS", "LayerName", "build_layers"]

LayerName = Literal["mint_facts", "liquidity", "holders", "creator_history", "round_trip"]
"""RPC calls of each: mint_facts and liquidity share one read; holders two more; creator_history one; round_trip one."""

LAYER_NAMES: Final[tuple[LayerName, ...]] = get_args(LayerName)
SNIPE_LAYERS: Final[tuple[LayerName, ...]] = ("mint_facts", "liquidity", "round_trip")
"""What a snipe can afford: two calls, side by side."""


def build_layers(
    names: Iterable[LayerName],
    *,
    max_round_trip_loss_bps: int,
    liquidity: LiquidityPolicy = LiquidityPolicy(),  # noqa: B008 frozen records, here and below
    holders: HolderPolicy = HolderPolicy(),  # noqa: B008
    history: CreatorHistoryPolicy = CreatorHistoryPolicy(),  # noqa: B008
    is_ours: Callable[[Pubkey], bool] = lambda _: False,
) -> tuple[Layer, ...]:
    """Return the layers of these names, in the order of the catalogue and each once. *Pure.*

    Args:
        names: Which.
        max_round_trip_loss_bps: The highest loss of a simulated buy and sell, of what the buy costs.
        liquidity: What a pool must hold.
        holders: How much may be in few hands.
        history: How much of a past a creator may have.
        is_ours: Tells our own wallets, which are no danger as holders.

    Raises:
        ValueError: A name is none of a layer.
    """
    wanted = set(names)
    if unknown := wanted - set(LAYER_NAMES):
        raise ValueError(f"layers are {', '.join(LAYER_NAMES)}; there is no {', '.join(sorted(unknown))}")
    makers: dict[LayerName, Callable[[], Layer]] = {
        "mint_facts": MintFactsLayer,
        "liquidity": lambda: LiquidityLayer(liquidity),
        "holders": lambda: HoldersLayer(holders, is_ours=is_ours),
        "creator_history": lambda: CreatorHistoryLayer(history),
        "round_trip": lambda: RoundTripLayer(max_round_trip_loss_bps),
    }
    return tuple(makers[name]() for name in LAYER_NAMES if name in wanted)
