"""One account's changes, pushed: decoded once, handed on as bytes."""

from base64 import b64decode
from collections.abc import Callable

import msgspec
from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.solana.pubsub import PubSub, Subscription
from slotzero.solana.rpc import Commitment
from slotzero.units import Lamports, MonoNs, Slot

__all__ = ["AccountUpdate", "UpdateHandler", "watch_account"]


class AccountUpdate(Struct, frozen=True, kw_only=True):
    """The state of an account after a change."""

    slot: Slot
    lamports: Lamports
    data: bytes


UpdateHandler = Callable[[AccountUpdate, MonoNs], None]
"""Called with the state and the instant the frame was read; must not raise and must not block."""


class _Account(Struct):
    lamports: int
    data: tuple[str, str]


class _Context(Struct):
    slot: int


class _Result(Struct):
    context: _Context
    value: _Account


class _Params(Struct):
    result: _Result


class _Notification(Struct):
    params: _Params


_decode = msgspec.json.Decoder(_Notification).decode


def watch_account(pubsub: PubSub, key: Pubkey, commitment: Commitment, handler: UpdateHandler) -> Subscription:
    """Call `handler` at each change of `key`. A frame that cannot be read is passed over: the next one is newer.

    Silence says nothing: since Agave 4.2 an unchanged account sends no update.
    """

    def on_frame(frame: bytes, now: MonoNs) -> None:
        try:
            result = _decode(frame).params.result
            data = b64decode(result.value.data[0], validate=True)
        except (ValueError, RecursionError):  # no JSON, no such document, no base64
            return
        update = AccountUpdate(slot=Slot(result.context.slot), lamports=Lamports(result.value.lamports), data=data)
        handler(update, now)

    return pubsub.subscribe("accountSubscribe", [str(key), {"encoding": "base64", "commitment": commitment}], on_frame)
