"""Generate the classes of the wire format: `python -m slotzero.solana.geyser_proto.build [--check]`.

Maintainers only; it needs grpcio-tools, which users do not. The generator is pinned by the development lock, so the
same files give the same bytes; `--check` proves that the checked-in ones are what the `.proto` files say, without
touching them.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from slotzero.errors import SlotzeroError, UsageError

__all__ = ["build", "main"]

_HERE: Final = Path(__file__).resolve().parent
_PACKAGE: Final = "slotzero/solana/geyser_proto"
_PROTOS: Final = ("geyser.proto", "solana_storage.proto")


def build() -> dict[str, bytes]:
    """Return every generated file by its name. *Does I/O*: generates in a temporary directory.

    Raises:
        UsageError: The generator is not installed, or it refused a file (with its own words).
    """
    if importlib.util.find_spec("grpc_tools") is None:
        raise UsageError("the generator is missing: install the development dependencies (make test does)")
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "source"), Path(scratch, "target")
        folder = source / _PACKAGE  # under its full path: imports in the generated code follow it
        folder.mkdir(parents=True)
        target.mkdir()
        for name in _PROTOS:
            (folder / name).write_bytes((_HERE / name).read_bytes())
        done = subprocess.run(  # noqa: S603 - our own interpreter and our own arguments
            [
                *(sys.executable, "-m", "grpc_tools.protoc", f"-I{source}"),
                *(f"--python_out={target}", f"--pyi_out={target}"),
                *(f"{_PACKAGE}/{name}" for name in _PROTOS),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UsageError(f"the generator refused the files:\n{done.stderr.strip()}")
        return {path.name: path.read_bytes() for path in sorted((target / _PACKAGE).iterdir())}


def _differences(generated: dict[str, bytes]) -> list[str]:
    def checked_in(name: str) -> bytes | None:
        path = _HERE / name
        return path.read_bytes() if path.is_file() else None

    return [name for name, content in generated.items() if checked_in(name) != content]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 (`--check` found a difference) or 2 (nothing could be generated)."""
    parser = argparse.ArgumentParser(
        prog="python -m slotzero.solana.geyser_proto.build",
        description="Generate the classes of the Geyser wire format from its .proto files.",
    )
    parser.add_argument("--check", action="store_true", help="generate elsewhere and compare; change nothing")
    options = parser.parse_args(arguments)
    try:
        generated = build()
    except SlotzeroError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    different = _differences(generated)
    if options.check:
        for name in different:
            sys.stderr.write(f"{name} is not what the .proto files give: run the build and commit the result\n")
        if not different:
            sys.stdout.write(f"geyser_proto: {len(generated)} files, reproduced\n")
        return 1 if different else 0
    for name in different:
        (_HERE / name).write_bytes(generated[name])
    sys.stdout.write(f"geyser_proto: {len(generated)} files, {len(different)} changed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
