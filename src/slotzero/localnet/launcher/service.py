"""The launcher as a service beside a chain that is being served."""

from slotzero.localnet.launcher.launcher import Launcher, LauncherConfig
from slotzero.localnet.server import Localnet, Service

__all__ = ["launcher_service"]


def launcher_service(config: LauncherConfig) -> Service:
    """Return a service that launches coins in the chain's process, on its loop, until the chain stops."""

    async def launcher(localnet: Localnet) -> None:
        await Launcher(localnet.chain, config).run()

    return launcher
