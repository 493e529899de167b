"""Takes this process's stacks with py-spy, from outside: no part of it runs in the measured process. *Does I/O.*

py-spy reads another process's memory, which the system must permit: the same user without a ptrace restriction, root,
or the capability SYS_PTRACE in a container. Where it may not, `start` says why instead.

Only stacks that hold the interpreter's lock are taken. Without that, threads that wait were taken for running in one
look of twenty (measured on FULL_FLOW, which waits for 95 % of the time: more than half of the flame graph was waiting).

Weakness: work in C that lets go of the lock (a send, a hash, a database) is not seen.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.perf.profile.records import Profile, from_collapsed

__all__ = ["PySpy"]

RATE: Final = 250
_READY: Final = b"Sampling process"
_READY_S: Final = 10.0
_END_S: Final = 30.0
_US: Final = 1_000_000


class PySpy:
    """A running py-spy; `start` makes one."""

    def __init__(self, process: asyncio.subprocess.Process, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._process = process
        self._folder = folder
        self._began = mono_ns()

    @classmethod
    async def start(cls) -> "PySpy | str":
        """Begin to sample this process. Returns why not, where that cannot be."""
        program = _program()
        if program is None:
            return "py-spy is not installed (the extra `profile` brings it)"
        folder = tempfile.TemporaryDirectory(prefix="slotzero-profile-")
        command = [program, "record", "--pid", str(os.getpid()), "--format", "raw", "--function", "--gil"]
        command += ["--rate", str(RATE), "--output", str(Path(folder.name) / "stacks")]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert process.stdout is not None
        said = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_S):
                while _READY not in said and (line := await process.stdout.readline()):
                    said += line
        if _READY in said:
            return cls(process, folder)
        await _end(process, signal.SIGKILL)
        folder.cleanup()
        first = said.decode(errors="replace").strip().splitlines()
        return f"py-spy may not read this process: {first[0] if first else 'it said nothing'}"

    async def stop(self) -> Profile:
        """End it. Returns what it saw."""
        window = elapsed_ns(self._began, mono_ns())
        await _end(self._process, signal.SIGINT)
        path = Path(self._folder.name) / "stacks"
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        self._folder.cleanup()
        each = _US // RATE
        stacks = from_collapsed(text.splitlines(), weight_ns=each * 1_000)
        return Profile(
            stacks=stacks,
            source="py-spy",
            window_ns=window,
            interval_us=each,
            taken=sum(stack.weight_ns for stack in stacks) // (each * 1_000),
        )


def _program() -> str | None:
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if beside.exists() else shutil.which("py-spy")


async def _end(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)
    try:
        async with asyncio.timeout(_END_S):
            await process.communicate()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
