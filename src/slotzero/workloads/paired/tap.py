"""A stream that hands frames to whoever has subscribed, without a connection."""

from typing import Any

from slotzero.clock import SystemClock
from slotzero.solana.pubsub import FrameHandler, PubSub, Subscription

__all__ = ["Tap"]


class Tap(PubSub):
    """The real client, never connected: it keeps the handlers, and the caller hands them frames."""

    def __init__(self) -> None:
        super().__init__("ws://127.0.0.1:1", clock=SystemClock())
        self.handlers: dict[str, FrameHandler] = {}

    def subscribe(
        self,
        method: str,
        params: list[Any],
        handler: FrameHandler,
        *rest: Any,  # noqa: ANN401 whatever a version's client takes besides
        **named: Any,  # noqa: ANN401 likewise
    ) -> Subscription:
        """Keep the handler by its method."""
        self.handlers[method] = handler
        return super().subscribe(method, params, handler, *rest, **named)
