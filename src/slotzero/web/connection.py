"""Connections that do not wait for ever: who asks nothing is let go, so that there is a place for who does."""

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["PatientConnection"]

_PATIENCE_S: Final = 10.0


class PatientConnection(H11Protocol):
    """Closes itself when no request's head comes: after 10 seconds, or after 10 to 20 behind an earlier answer.

    uvicorn's own limit begins with the first answer and ends with the next head's first byte: sockets that say nothing,
    or a letter a minute, would take all places, and the panic button with them. A body has its limit in `Guard`.
    """

    patience_s = _PATIENCE_S
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._look_later(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _look_later(self, answered: object) -> None:
        self._timer = self.loop.call_later(self.patience_s, self._look, answered)

    def _look(self, answered: object) -> None:
        """Close if nothing is under way and the newest request is still the one that was `answered` before."""
        newest = self.cycle
        # None before the first request, though uvicorn declares it as never None
        if newest is not None and not newest.response_complete:  # type: ignore[redundant-expr]
            self._look_later(self)  # which is no request
        elif newest is answered:
            self.transport.close()
        else:
            self._look_later(newest)
