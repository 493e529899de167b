"""Lines into a file from a thread of its own: no disk holds up the event loop.

Full: the newest is dropped and counted. What is not in the file is told, at once why and at the end how much.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from slotzero.errors import UsageError

__all__ = ["LineWriter"]

_log = logging.getLogger(__name__)
_MOST_WAITING: Final = 16_384
_BATCH: Final = 256

T = TypeVar("T")


class LineWriter(Generic[T]):
    """Encodes what it is handed and appends it to a file while it is entered; the rest is written on leaving.

    Args:
        path: The file, made with mode 0600 where there is none: it tells what is traded.
        encode: Makes one line without its end, on the thread.

    Raises:
        UsageError: (on entering) The file cannot be opened.
    """

    def __init__(self, path: Path, encode: Callable[[T], bytes]) -> None:
        self._path = path
        self._encode = encode
        self._waiting: queue.Queue[T | None] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self.dropped = 0
        self.fault = ""
        """Why nothing is written any more; "" = it is."""

    def put(self, item: T) -> None:
        """Take something to write. Does not wait."""
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            self.dropped += 1

    def __enter__(self) -> Self:
        """Open the file and start the thread."""
        try:
            self._path.touch(mode=0o600)
            file = self._path.open("ab")
        except OSError as error:
            raise UsageError(f"{self._path} cannot be written: {error.strerror or error}") from error

        def work() -> None:
            # What a full disk did not take is tried once more by closing, and fails once more.
            with contextlib.suppress(OSError), file:
                more = True
                while more:
                    batch, more = self._take()
                    if self.fault:
                        self.dropped += len(batch)
                    elif batch:
                        try:
                            file.write(b"".join(self._encode(item) + b"\n" for item in batch))
                            file.flush()
                        except OSError as error:  # a full disk stops the file, not the bot
                            self.fault = f"{self._path} cannot be written: {error.strerror or error}"
                            self.dropped += len(batch)
                            _log.warning("%s; nothing more is written into it in this run", self.fault)

        self._thread = threading.Thread(target=work, name=f"lines {self._path.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits and close."""
        assert self._thread is not None
        self._waiting.put(None)
        self._thread.join()
        if self.dropped:
            _log.warning("%s: %d lines are not in it", self._path, self.dropped)

    def _take(self) -> tuple[list[T], bool]:
        """Wait for something; return it with what else is there, and whether more may come."""
        batch: list[T] = []
        item = self._waiting.get()
        while item is not None:
            batch.append(item)
            if len(batch) == _BATCH:
                return batch, True
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False
