"""Events as bytes and back: JSON, with keys as base58. What a store keeps, whichever it is."""

from typing import Final

import msgspec
from solders.pubkey import Pubkey

from slotzero.trading.journal.events import Event

__all__ = ["decode_event", "encode_event"]


def _enc_hook(value: object) -> object:
    if isinstance(value, Pubkey):
        return str(value)
    raise NotImplementedError(f"the journal cannot hold a {type(value).__name__}")


def _dec_hook(kind: type, value: object) -> object:
    if kind is Pubkey and isinstance(value, str):
        return Pubkey.from_string(value)
    raise NotImplementedError(f"the journal cannot read a {kind.__name__}")


_encoder: Final = msgspec.json.Encoder(enc_hook=_enc_hook)
_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event, dec_hook=_dec_hook)


def encode_event(event: Event) -> bytes:
    """Return an event as JSON. *Pure.*

    Raises:
        ValueError: A text of it is no Unicode (a lone surrogate).
    """
    return _encoder.encode(event)


def decode_event(body: bytes) -> Event:
    """Return the event that `encode_event` has made these bytes of. *Pure.*

    Raises:
        ValueError: They are something else (a msgspec error is one).
        TypeError: They are no bytes.
        RecursionError: They are nested too deeply.
    """
    return _decoder.decode(body)
