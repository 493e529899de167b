"""`slotzero wallet`: keys in an encrypted keystore, and the money of the wallets they stand for."""

import asyncio
import enum
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from slotzero import config as settings_file
from slotzero.errors import UsageError
from slotzero.units import format_sol

if TYPE_CHECKING:
    from slotzero.trading.wallets.commands import ChainAddress, Done, WalletCommands
    from slotzero.trading.wallets.keystore import KeystoreWallet
    from slotzero.units import Lamports

__all__ = ["wallet_app"]

T = TypeVar("T")

wallet_app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Keep wallets in an encrypted keystore; fund, rotate, sweep and tidy them. Secret keys are never printed.",
)


class Cluster(enum.StrEnum):
    """Where money is moved."""

    LOCALNET = "localnet"
    PAPER = "paper"
    LIVE = "live"


_Keystore = Annotated[
    Path | None,
    typer.Option("--keystore", help="The keystore's file.", show_default="one in the user's data folder"),
]
_PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help="Take the password from the first line of this file (mode 0600) or pipe (/dev/fd/3).",
        show_default="ask on the terminal",
    ),
]
_FromEnvironment = Annotated[
    bool,
    typer.Option(
        "--password-from-env", help="Take the password from SLOTZERO_PASSWORD, which other programs of yours can read."
    ),
]
_Cluster = Annotated[Cluster, typer.Option(help="Where money is moved.")]
_Config = Annotated[Path | None, typer.Option(help="A TOML file that says where the chain is.")]
_Port = Annotated[int, typer.Option(min=1, max=65_535, help="The port of a running `slotzero localnet`.")]
_NewName = Annotated[str | None, typer.Argument(show_default="wallet-1, wallet-2 ...")]
_Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", show_default="all")]
_DEFAULT_PORT = 8_899


@wallet_app.command(epilog="Example: slotzero wallet new hot-1")
def new(
    name: _NewName = None,
    *,
    keystore: _Keystore = None,
    password_file: _PasswordFile = None,
    from_environment: _FromEnvironment = False,
) -> None:
    """Make a wallet with a fresh key, and the keystore when there is none yet."""
    _print_added(_commands(keystore, password_file, from_environment).new(name))


@wallet_app.command("import", epilog="Example: slotzero wallet import ~/.config/solana/id.json cold")
def import_(
    file: Annotated[Path, typer.Argument(help="A Solana CLI key file, or one with a 64-byte secret in base58.")],
    name: _NewName = None,
    *,
    keystore: _Keystore = None,
    password_file: _PasswordFile = None,
    from_environment: _FromEnvironment = False,
) -> None:
    """Take in a key that another tool wrote. The file stays where it is: remove it yourself."""
    _print_added(_commands(keystore, password_file, from_environment).import_key(file, name))


@wallet_app.command("list", epilog="Example: slotzero wallet list --json")
def list_(
    *,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    keystore: _Keystore = None,
    password_file: _PasswordFile = None,
    from_environment: _FromEnvironment = False,
) -> None:
    """Print the wallets' names and addresses. It takes the password: what is shown was not exchanged."""
    found = _commands(keystore, password_file, from_environment).listed()
    if is_json:
        wallets = [
            {
                "name": wallet.name,
                "address": str(wallet.address),
                "is_retired": wallet.is_retired,
                "successor": wallet.successor,
            }
            for wallet in found.wallets
        ]
        typer.echo(json.dumps({"wallets": wallets, "allowed": [str(address) for address in found.allowed]}, indent=2))
        return
    for wallet in found.wallets:
        state = (
            "" if not wallet.is_retired else f"  retired for {wallet.successor}" if wallet.successor else "  retired"
        )
        typer.echo(f"{wallet.name}  {wallet.address}{state}")
    for address in found.allowed:
        typer.echo(f"may be swept to  {address}")


@wallet_app.command(epilog="Example: slotzero wallet allow 9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM")
def allow(
    address: Annotated[str, typer.Argument(help="An address whose key you keep elsewhere.")],
    *,
    is_removed: Annotated[bool, typer.Option("--remove", help="Take it off the list instead.")] = False,
    keystore: _Keystore = None,
    password_file: _PasswordFile = None,
    from_environment: _FromEnvironment = False,
) -> None:
    """Let `sweep` move money to an address. The list is inside the keystore: it takes the password to extend it."""
    key = _commands(keystore, password_file, from_environment).allow(address, is_removed=is_removed)
    typer.echo(f"{key} may {'not be swept to any more' if is_removed else 'be swept to'}")


@wallet_app.command(epilog="Example: slotzero wallet fund hot-1 hot-2 --from treasury --lamports 2000000000")
def fund(
    names: _Names = None,
    *,
    lamports: Annotated[
        int, typer.Option(min=1, max=2**63, help="What each is to hold; 1000000000 are 1 SOL. One that has it is left.")
    ],
    treasury: Annotated[
        str | None, typer.Option("--from", help="The wallet that pays.", show_default="the embedded chain's faucet")
    ] = None,
    cluster: _Cluster = Cluster.LOCALNET,
    config: _Config = None,
    port: _Port = _DEFAULT_PORT,
    keystore: _Keystore = None,
    password_file: _PasswordFile = None,
    from_environment: _FromEnvironment = False,
) -> None:
    """Bring wallets up to a balance."""
    chain = _chain(cluster, config, port)
    commands = _commands(keystore, password_file, from_environment)
    done = _run(commands.fund(chain, names or [], treasury=treasury, level_lamports=_lamports(lamports)))
    for each in done:
        if treasury is None:
            typer.echo(f"{each.wallet.name}  {each.wallet.address}  faucet paid {format_sol(each.airdropped_lamports)}")
        else:
            _print_done(each, "paid")


@wallet_app.command(epilog="Example: slotzero wallet rotate hot-1 hot-2")
def rotate(
    name: Annotated[str, typer.Argument(help="The wallet to be replaced; it must hold no tokens.")],
    new_name: _NewName = None,
    *,
    cluster: _Cluster = Cluster.LOCALNET,
    config: _Config = None,
    port: _Port = _DEFAULT_PORT,
    keystore: _Keystore = None,
    password_file: _PasswordFile = None,
    from_environment: _FromEnvironment = False,
) -> None:
    """Put a fresh wallet in the place of another and move its SOL there.

    The old key is kept, its wallet retired. The transfer links the two on chain for everybody to see; to start without
    that link, make a wallet and fund it from elsewhere.
    """
    chain = _chain(cluster, config, port)
    commands = _commands(keystore, password_file, from_environment)
    fresh, done = _run(commands.rotate(chain, name, new_name))
    _print_done(done, f"paid {fresh.name}")
    _print_added(fresh)


@wallet_app.command(epilog="Example: slotzero wallet sweep 9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM hot-1")
def sweep(
    to: Annotated[str, typer.Argument(help="An address that `slotzero wallet allow` has put on the list.")],
    names: _Names = None,
    *,
    keep_lamports: Annotated[int, typer.Option(min=0, max=2**63, help="What stays in each wallet.")] = 0,
    cluster: _Cluster = Cluster.LOCALNET,
    config: _Config = None,
    port: _Port = _DEFAULT_PORT,
    keystore: _Keystore = None,
    password_file: _PasswordFile = None,
    from_environment: _FromEnvironment = False,
) -> None:
    """Move what wallets hold to an allowed address."""
    chain = _chain(cluster, config, port)
    commands = _commands(keystore, password_file, from_environment)
    for done in _run(commands.sweep(chain, to, names or [], keep_lamports=_lamports(keep_lamports))):
        _print_done(done, "paid")


@wallet_app.command(epilog="Example: slotzero wallet reclaim hot-1")
def reclaim(
    names: _Names = None,
    *,
    mint: Annotated[
        list[str] | None, typer.Option(help="Look for this mint's accounts only; may be repeated.", show_default="all")
    ] = None,
    cluster: _Cluster = Cluster.LOCALNET,
    config: _Config = None,
    port: _Port = _DEFAULT_PORT,
    keystore: _Keystore = None,
    password_file: _PasswordFile = None,
    from_environment: _FromEnvironment = False,
) -> None:
    """Close empty token accounts, so that their rent comes back. Not while a bot trades with these wallets."""
    chain = _chain(cluster, config, port)
    commands = _commands(keystore, password_file, from_environment)
    for done in _run(commands.reclaim(chain, names or [], mint or [])):
        _print_done(done, f"closed {sum(len(move.planned.touches) for move in done.moves.moves)} accounts, got back")
        for kept in done.moves.kept:
            typer.echo(f"  left {kept.address}: {kept.reason}")


# ---- shared ----------------------------------------------------------------------------------------------------------


def _commands(keystore: Path | None, password_file: Path | None, from_environment: bool) -> "WalletCommands":  # noqa: FBT001 one place turns the three options into what they mean
    # Here, so that `slotzero --help` loads none of the bot's parts.
    from slotzero.trading.wallets.commands import WalletCommands  # noqa: PLC0415

    return WalletCommands(keystore=keystore, password_file=password_file, from_environment=from_environment)


def _chain(cluster: Cluster, config: Path | None, port: int) -> "ChainAddress":
    if cluster is not Cluster.LOCALNET:
        raise UsageError(f"--cluster {cluster.value} is not available yet: money is moved on an embedded chain only")
    from slotzero.trading.wallets.commands import ChainAddress  # noqa: PLC0415 as above

    settings = settings_file.load(config)
    rpc_url, ws_url = settings.cluster.rpc_url, settings.cluster.ws_url
    if not rpc_url:
        rpc_url, ws_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
    return ChainAddress(rpc_url=rpc_url, ws_url=ws_url, orders=settings.orders)


def _lamports(value: int) -> "Lamports":
    from slotzero.units import as_lamports  # noqa: PLC0415

    return as_lamports(value)


def _run(work: Coroutine[None, None, T]) -> T:
    import uvloop  # noqa: PLC0415 as above

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _print_added(wallet: "KeystoreWallet") -> None:
    typer.echo(f"{wallet.name}  {wallet.address}")


def _print_done(done: "Done", what: str) -> None:
    moves = done.moves
    if not moves.moves:
        typer.echo(f"{done.wallet.name}  {done.wallet.address}  nothing to do")
        return
    amounts = f"{format_sol(moves.moved_lamports)} SOL, fees {format_sol(moves.fee_lamports)}"
    typer.echo(f"{done.wallet.name}  {done.wallet.address}  {what} {amounts}")
    for move in moves.moves:
        typer.echo(f"  {move.signature}")
