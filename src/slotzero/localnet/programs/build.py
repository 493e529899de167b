"""Build the pool programs from their C source: `python -m slotzero.localnet.programs.build [--check]`.

Maintainers only. Users get the checked-in `.so` and need no compiler. The compiler is pinned exactly
(`requirements/programs.lock`), so the same source gives the same bytes in every directory; `--check` proves that the
checked-in files are what the source says, without touching them.

Standard library only: it runs in an environment that holds nothing but the compiler.
"""

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from slotzero.errors import SlotzeroError, UsageError
from slotzero.localnet.programs.keys import pump_header
from slotzero.localnet.programs.link import link

__all__ = ["build", "main"]

ZIG_VERSION: Final = "0.17.1"
FLAGS: Final = (
    "-target", "bpfel-freestanding",
    "-mcpu=v2",  # v3's 32-bit arithmetic means something else to the VM
    "-O2", "-g0", "-std=c17",
    "-fno-builtin",  # no calls of memcpy and friends: nothing provides them
    "-fno-jump-tables",  # read-only data may not contain addresses
    "-fno-strict-aliasing",  # account data is read as whatever it is
    "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
    "-Wall", "-Wextra", "-Werror",
)  # fmt: skip

_HERE: Final = Path(__file__).resolve().parent
_SUMS: Final = "SHA256SUMS"


def _zig(*arguments: str, folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run the compiler in `folder`, with a cache of its own and no trace of the date."""
    environment = {
        **os.environ,
        "ZIG_LOCAL_CACHE_DIR": str(cache),
        "ZIG_GLOBAL_CACHE_DIR": str(cache),
        "SOURCE_DATE_EPOCH": "0",
    }
    return subprocess.run(  # noqa: S603 - our own interpreter and our own arguments
        [sys.executable, "-m", "ziglang", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _compile(source: Path) -> bytes:
    """Return the object file of one C source; the compiler must be the pinned one.

    Raises:
        UsageError: It is not installed, is another one, or refused the source (with its own words).
    """
    if importlib.util.find_spec("ziglang") is None:
        raise UsageError(
            "the compiler is missing: python -m pip install --require-hashes -r requirements/programs.lock installs it"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = source.parent, Path(scratch)
        version = _zig("version", folder=folder, cache=cache).stdout.strip()
        if version != ZIG_VERSION:
            raise UsageError(f"the programs are built with ziglang {ZIG_VERSION}, this environment has {version!r}")
        target = cache / "object.o"
        done = _zig("cc", *FLAGS, "-c", source.name, "-o", str(target), folder=folder, cache=cache)
        if done.returncode:
            raise UsageError(f"the compiler refused {source.name}:\n{done.stderr.strip()}")
        return target.read_bytes()


def _sums(files: dict[str, bytes]) -> bytes:
    """Return the checksum file, in the format of sha256sum, for the programs and everything they are made from."""
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()


def build() -> dict[str, bytes]:
    """Return every generated file by its path below this folder. *Does I/O*: compiles in a temporary directory.

    Raises:
        UsageError: The pinned compiler is not installed, or it refused the source.
        MalformedError: The object it made uses something that cannot be linked.
    """
    sources = {f"pump/{path.name}": path.read_bytes() for path in sorted((_HERE / "pump").glob("*.[ch]"))}
    sources["sbpf.h"] = (_HERE / "sbpf.h").read_bytes()
    generated = {"pump/keys.h": pump_header().encode()}
    sources |= generated
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in sources.items():
            path = Path(scratch) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        generated["pump.so"] = link(_compile(Path(scratch) / "pump" / "pump.c"))
    generated[_SUMS] = _sums({**sources, "pump.so": generated["pump.so"]})
    return generated


def _differences(generated: dict[str, bytes]) -> list[str]:
    def checked_in(name: str) -> bytes | None:
        path = _HERE / name
        return path.read_bytes() if path.is_file() else None

    return [name for name, content in generated.items() if checked_in(name) != content]


def _report(line: str, *, is_error: bool = False) -> None:
    (sys.stderr if is_error else sys.stdout).write(line + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 (`--check` found a difference) or 2 (it could not be built)."""
    parser = argparse.ArgumentParser(
        prog="python -m slotzero.localnet.programs.build",
        description="Build the pool programs of the embedded chain from their C source.",
    )
    parser.add_argument("--check", action="store_true", help="build elsewhere and compare; change nothing")
    options = parser.parse_args(arguments)
    try:
        generated = build()
    except SlotzeroError as fault:
        _report(str(fault), is_error=True)
        return 2
    digest = hashlib.sha256(generated["pump.so"]).hexdigest()
    different = _differences(generated)
    if options.check:
        for name in different:
            _report(f"{name} is not what the source builds: run `make programs` and commit the result", is_error=True)
        if not different:
            _report(f"pump.so: {len(generated['pump.so'])} bytes, reproduced, sha256 {digest}")
        return 1 if different else 0
    for name in different:
        (_HERE / name).write_bytes(generated[name])
    _report(f"pump.so: {len(generated['pump.so'])} bytes, sha256 {digest}; {len(different)} files changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
