"""`slotzero localnet`: the embedded chain alone."""

import enum
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from msgspec import structs
from typer.models import OptionInfo

from slotzero.errors import UsageError

__all__ = ["localnet"]

_INTERRUPTED: Final = 130

logger = logging.getLogger(__name__)


class Network(enum.StrEnum):
    """What lies between a client and the chain."""

    NONE = "none"
    REGIONAL = "regional"
    CONGESTED = "congested"


def _port(what: str) -> OptionInfo:
    option: OptionInfo = typer.Option(min=0, max=65535, help=f"{what} 0 takes a free port; without it there is none.")
    return option


def localnet(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The loopback port; 0 takes a free one.")] = 8899,
    slot_ms: Annotated[
        int, typer.Option(min=0, max=60_000, help="A slot's length; 0 opens one after each transaction.")
    ] = 200,
    launches_per_s: Annotated[
        float, typer.Option(min=0, max=1_000, help="Coins the launcher creates each second.")
    ] = 0.0,
    trap_percent: Annotated[
        int | None, typer.Option(min=0, max=100, help="Share of them that are traps; 40 unless the mix says so.")
    ] = None,
    rivals_per_coin: Annotated[
        int | None, typer.Option(min=0, max=50, help="Others who trade each coin; 3 unless the mix says so.")
    ] = None,
    launch_on_request: Annotated[
        bool, typer.Option("--launch-on-request", help="Launch a coin at each `slotzero_launch` as well.")
    ] = False,
    mix: Annotated[Path | None, typer.Option(help="What the launcher creates: a TOML file.")] = None,
    network: Annotated[Network, typer.Option(help="Delays and faults on the way to the chain.")] = Network.NONE,
    second_port: Annotated[int | None, _port("Another JSON-RPC port, which can be stopped.")] = None,
    direct_port: Annotated[int | None, _port("A JSON-RPC port that --network spares.")] = None,
    geyser_port: Annotated[int | None, _port("Yellowstone-compatible gRPC.")] = None,
    geyser_token: Annotated[str | None, typer.Option(help="What x-token must say there.")] = None,
    jito_port: Annotated[int | None, _port("The block engine that takes bundles.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="What the genesis is derived from.")] = 7,
    history: Annotated[int, typer.Option(min=1, max=1_000_000, help="Transactions the chain remembers.")] = 20_000,
    until_stdin_closes: Annotated[
        bool, typer.Option("--until-stdin-closes", help="End with stdin, as a child process does.")
    ] = False,
) -> None:
    """Run an embedded Solana chain: JSON-RPC and WebSocket on one loopback port, more on others.

    The first line on stdout is one JSON object with its endpoints. Ctrl-C stops it.

    Example: slotzero localnet --port 0 --geyser-port 0 --jito-port 0 --network regional
    """
    if mix is not None and not launches_per_s:
        raise UsageError("--mix says what is launched, and nothing is; add --launches-per-s 1")
    # Here, so that `slotzero --help` does not load a VM.
    from slotzero.localnet.chain import ChainConfig  # noqa: PLC0415
    from slotzero.localnet.launcher import LauncherConfig, Mix, load_mix  # noqa: PLC0415
    from slotzero.localnet.launcher.service import launcher_service  # noqa: PLC0415
    from slotzero.localnet.server import Localnet, LocalnetConfig, announcement, run  # noqa: PLC0415

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")

    def announce(running: Localnet) -> None:
        typer.echo(announcement(running))
        sys.stdout.flush()
        pace = f"slots of {slot_ms} ms" if slot_ms else "a slot for each transaction"
        logger.info("the chain of seed %d is at %s, %s; Ctrl-C stops it", seed, running.endpoints.rpc, pace)

    config = LocalnetConfig(
        port=port,
        second_port=second_port,
        direct_port=direct_port,
        geyser_port=geyser_port,
        geyser_token=geyser_token,
        jito_port=jito_port,
        network=network.value,
        chain=ChainConfig(seed=seed, slot_ms=slot_ms, history=history),
    )
    launched = Mix() if mix is None else load_mix(mix)
    if trap_percent is not None:
        launched = structs.replace(launched, trap_percent=trap_percent)
    if rivals_per_coin is not None:
        launched = structs.replace(launched, rivals_per_coin=rivals_per_coin)
    launcher = LauncherConfig(seed=seed, launches_per_s=launches_per_s, mix=launched)
    services = [launcher_service(launcher)] if launches_per_s or launch_on_request else []
    ended_by = run(config, on_ready=announce, services=services, until_stdin_closes=until_stdin_closes)
    if ended_by is signal.SIGINT:
        raise typer.Exit(_INTERRUPTED)
