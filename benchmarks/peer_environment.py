"""Where the peers are: Locust in an environment of its own, and what to do when it is not there."""

import asyncio
import json
import os
from pathlib import Path
from typing import Final

__all__ = ["HOW_TO", "peer_python", "run_peer"]

_FOLDER: Final = Path(__file__).parent / "peers"
HOW_TO: Final = (
    "python3 -m venv .venv-peers && .venv-peers/bin/pip install -r benchmarks/peers/requirements.in "
    "(elsewhere: SLOTZERO_PEERS_PYTHON=/path/to/python)"
)


def peer_python() -> Path | None:
    """Return the interpreter that has the peers: SLOTZERO_PEERS_PYTHON, or that of .venv-peers; None without one."""
    named = os.environ.get("SLOTZERO_PEERS_PYTHON")
    found = Path(named) if named else _FOLDER.parent.parent / ".venv-peers" / "bin" / "python"
    return found if found.exists() else None


async def run_peer(python: Path, script: str, *args: str) -> dict[str, float]:
    """Run a script of the peers' folder and return the JSON line it prints last.

    Raises:
        RuntimeError: It ended with an error.
    """
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    process = await asyncio.create_subprocess_exec(
        str(python),
        str(_FOLDER / script),
        *args,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    lines = out.decode().strip().splitlines()
    if process.returncode != 0 or not lines:
        raise RuntimeError(f"{script} ended with {process.returncode}: {err.decode()[-2_000:]}")
    found: dict[str, float] = json.loads(lines[-1])
    return found
