"""Where memory is allocated, by memray. *Does I/O.* A pass of its own: it makes everything half as slow again."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from slotzero.errors import UsageError

__all__ = ["memory_flame_graph", "tracking_memory"]

_MISSING: Final = "a memory profile needs memray: install slotzero with its extra `profile`"


@contextmanager
def tracking_memory(capture: Path) -> Iterator[None]:
    """Write every allocation while it is open to the file `capture`, replacing it.

    Raises:
        UsageError: memray is not there.
    """
    try:
        import memray  # noqa: PLC0415 an extra, and no need of most runs
    except ImportError as error:
        raise UsageError(_MISSING) from error
    capture.unlink(missing_ok=True)
    with memray.Tracker(capture):
        yield


async def memory_flame_graph(capture: Path, html: Path, *, leaks: bool = False) -> None:
    """Draw a capture as one HTML file that loads nothing from elsewhere.

    Args:
        capture: What `tracking_memory` has written.
        html: Where to, replacing it.
        leaks: Whether to draw what was never given back, instead of what was held at the peak.

    Raises:
        UsageError: memray could not draw it.
    """
    command = [sys.executable, "-m", "memray", "flamegraph", "--no-web", "--force", "--output", str(html)]
    command += ["--leaks"] if leaks else []
    process = await asyncio.create_subprocess_exec(
        *command, str(capture), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        raise UsageError(f"memray could not draw {capture}: {last[0] if last else 'it said nothing'}")
