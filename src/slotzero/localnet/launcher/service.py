"""The launcher as a service beside a chain that is being served."""

from msgspec import Struct

from slotzero.localnet.launcher.launcher import Launcher, LauncherConfig
from slotzero.localnet.launcher.mix import MAX_RIVALS, CoinKind, CoinPlan, Flavour
from slotzero.localnet.node import Node
from slotzero.localnet.params import INTERNAL_ERROR, Params, RpcFault, config_at, invalid
from slotzero.localnet.server import Localnet, Service

__all__ = ["launcher_service"]


class LaunchOptions(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What `slotzero_launch` is asked for."""

    kind: CoinKind = CoinKind.HONEST
    flavour: Flavour = Flavour.FLAT
    rivals: int = 3
    front_run: bool = False
    creator_buy: bool = False


def launcher_service(config: LauncherConfig) -> Service:
    """Return a service that launches coins in the chain's process, on its loop, until the chain stops.

    It launches at its pace, and one coin for each call of the admin method `slotzero_launch`.
    """

    async def launcher(localnet: Localnet) -> None:
        running = Launcher(localnet.chain, config)

        def launch(_node: Node, params: Params) -> object:
            options = config_at(params, 0, LaunchOptions)
            if not 0 <= options.rivals <= MAX_RIVALS:
                raise invalid(f"a coin has 0 to {MAX_RIVALS} rivals")
            plan = CoinPlan(
                kind=options.kind,
                flavour=options.flavour,
                is_front_run=options.front_run,
                has_creator_buy=options.creator_buy,
                rivals=options.rivals,
            )
            try:
                mint = running.launch_planned(plan)
            except ValueError as error:
                raise invalid(str(error)) from error
            if mint is None:
                raise RpcFault(INTERNAL_ERROR, "the coin could not be created")
            return str(mint)

        localnet.methods["slotzero_launch"] = launch
        await running.run()

    return launcher
