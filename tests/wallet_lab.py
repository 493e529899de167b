"""Keystores that open fast, keys that follow from a number, and the command as a process of its own. For tests."""

import asyncio
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

from solders.pubkey import Pubkey
from typer.testing import CliRunner

from slotzero.cli.wallet import wallet_app
from slotzero.errors import SlotzeroError, UsageError
from slotzero.secret import Secret
from slotzero.trading.wallets import KdfCost, WalletKey, create_keystore

CHEAP = KdfCost(ops_limit=1, memory_bytes=8_192)
"""The least that argon2id can cost: a keystore opens in a millisecond."""
PASSWORD = "correct horse battery"  # noqa: S105 of keystores that exist for a test

# The command as it is mounted, or about to be.
_ENTRY = (
    "from slotzero.cli.main import app, main; from slotzero.cli.wallet import wallet_app; "
    "'wallet' in [group.name for group in app.registered_groups] or app.add_typer(wallet_app, name='wallet'); main()"
)
COMMAND = (sys.executable, "-c", _ENTRY, "wallet")
_BATCH = (
    """
import contextlib, io, json, sys, traceback
def call(arguments):
    sys.argv = ["slotzero", "wallet", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
    return [code, out.getvalue(), err.getvalue()]
calls = json.load(sys.stdin)
"""
    + _ENTRY.replace("; main()", "")
    + "\nprint(json.dumps([call(arguments) for arguments in calls]))"
)


def wallet_key(number: int) -> WalletKey:
    """Return the same key for the same number."""
    return WalletKey(Secret(bytearray(number.to_bytes(32, "big"))))


def address(number: int) -> Pubkey:
    return wallet_key(number).address


TOKEN_MINT = address(3)


def token_data(
    owner: Pubkey,
    *,
    mint: Pubkey = TOKEN_MINT,
    amount: int = 0,
    state: int = 1,
    close: Pubkey | None = None,
    native: int | None = None,
    extensions: bytes | None = None,
) -> bytes:
    """Return the bytes of a token account as either token program lays it out."""
    base = struct.pack(
        "<32s32sQI32sBIQQI32s",
        bytes(mint),
        bytes(owner),
        amount,
        0,
        bytes(32),
        state,
        int(native is not None),
        native or 0,
        0,
        int(close is not None),
        bytes(close) if close else bytes(32),
    )
    return base if extensions is None else base + b"\2" + extensions


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + value


def new_keystore(folder: Path, *numbers: int) -> Path:
    """Write a cheap keystore with the wallets `w1`, `w2` ... of these numbers."""
    path = folder / "keys" / "keystore.json"
    create_keystore(path, Secret(PASSWORD), {f"w{number}": wallet_key(number) for number in numbers}, cost=CHEAP)
    return path


def password_file(folder: Path, password: str = PASSWORD) -> Path:
    path = folder / "password"
    path.write_text(password + "\n")
    path.chmod(0o600)
    return path


def private(folder: Path, name: str, text: str | bytes) -> Path:
    """Write a file that only its owner may read."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)
    return path


def run_wallet(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `slotzero wallet` without a terminal and return what it said."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, "NO_COLOR": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_wallet_batch(calls: list[list[str]]) -> list[subprocess.CompletedProcess[str]]:
    """Run `slotzero wallet` once for each list of arguments, in one process: starting one takes half a second."""
    done = subprocess.run(
        [sys.executable, "-c", _BATCH],
        input=json.dumps(calls),
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [subprocess.CompletedProcess(calls[n], *said) for n, said in enumerate(json.loads(done.stdout))]


async def call_wallet(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `slotzero wallet` within this process, beside its event loop."""
    result = await asyncio.to_thread(CliRunner().invoke, wallet_app, arguments)
    if isinstance(result.exception, SlotzeroError):
        code = 2 if isinstance(result.exception, UsageError) else 1
        return subprocess.CompletedProcess(arguments, code, "", f"slotzero: {result.exception}\n")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)
