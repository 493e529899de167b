"""A WebSocket client of the real chain that also hears of what happened on paper alone.

Confirmations of our transactions come from the desk. Notifications of accounts come from the chain, and those that look
other on paper are rewritten; when a paper trade changes an account, its watchers are told as a node would tell them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from solders.pubkey import Pubkey

from slotzero.clock import Clock
from slotzero.solana.pubsub import Connection, FrameHandler, PubSub, Subscription
from slotzero.solana.rpc import AccountInfo
from slotzero.trading.paper.desk import PaperDesk, PaperListener
from slotzero.trading.paper.wire import account_frame, read_account_frame, signature_frame
from slotzero.units import MonoNs, Slot

__all__ = ["PaperPubSub"]


class PaperPubSub(PubSub):
    """The client.

    Args:
        url: As of `PubSub`, and so are the others that are not named here.
        desk: Who tells what happens on paper; it is told of slots here.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        desk: PaperDesk,
        clock: Clock,
        on_connection: Callable[[Connection], None] | None = None,
        follows_slots: bool = True,
        silent_after_ms: int | None = None,
    ) -> None:
        super().__init__(
            url,
            clock=clock,
            on_connection=on_connection,
            follows_slots=follows_slots,
            silent_after_ms=silent_after_ms,
        )
        assert follows_slots, "paper transactions land by slots"
        self._desk = desk
        self._signatures: dict[str, Subscription] = {}
        self._watchers: dict[str, list[tuple[Subscription, FrameHandler]]] = {}
        desk.listen(PaperListener(on_account=self._on_account, on_confirmed=self._on_confirmed))

    def subscribe(
        self,
        method: str,
        params: list[Any],
        handler: FrameHandler,
        *,
        is_once: bool = False,
        is_vital: bool = True,
    ) -> Subscription:
        """Ask for notifications, of the chain or of the desk. *Hot path.*"""
        if method == "signatureSubscribe":
            return self._await_signature(params, handler)
        if method != "accountSubscribe":
            return super().subscribe(method, params, handler, is_once=is_once, is_vital=is_vital)
        key = Pubkey.from_string(params[0])
        subscription = super().subscribe(
            method,
            params,
            lambda frame, now: handler(self._on_paper(key, frame), now),
            is_once=is_once,
            is_vital=is_vital,
        )
        self._watchers.setdefault(params[0], []).append((subscription, handler))
        return subscription

    def _await_signature(self, params: list[Any], handler: FrameHandler) -> Subscription:
        subscription = Subscription(self, "signatureSubscribe", params, handler, is_once=True)
        subscription.active.set_result(None)
        self._signatures[params[0]] = subscription
        return subscription

    def _drop(self, subscription: Subscription) -> None:
        if subscription.method == "signatureSubscribe":
            if self._signatures.get(subscription.params[0]) is subscription:
                del self._signatures[subscription.params[0]]
            return
        if subscription.method == "accountSubscribe":
            key = subscription.params[0]
            left = [entry for entry in self._watchers.get(key, []) if entry[0] is not subscription]
            if left:
                self._watchers[key] = left
            else:
                self._watchers.pop(key, None)
        super()._drop(subscription)

    def _on_paper(self, key: Pubkey, frame: bytes) -> bytes:
        """Return a notification as it would read had our trades been real."""
        if not self._desk.book.touches(key) or (read := read_account_frame(frame)) is None:
            return frame
        account, slot = read
        return account_frame(self._desk.book.view(key, account), slot)

    # ---- what the desk says ----------------------------------------------------------------------------------------

    def _on_slot(self, frame: bytes, now: MonoNs) -> None:
        super()._on_slot(frame, now)
        if self.slot is not None:
            self._desk.on_slot(self.slot)

    def _on_account(self, key: Pubkey, account: AccountInfo | None, slot: Slot) -> None:
        watchers = self._watchers.get(str(key))
        if watchers:
            frame, now = account_frame(account, slot), self._clock.mono_ns()
            for _, handler in tuple(watchers):
                handler(frame, now)

    def _on_confirmed(self, signature: str, slot: Slot, err: object) -> None:
        subscription = self._signatures.pop(signature, None)
        if subscription is not None:
            subscription.handler(signature_frame(slot, err), self._clock.mono_ns())
