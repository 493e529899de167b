"""Whether a coin's metadata document names a site or a social account. *Does I/O* with a host that a stranger chose."""

from slotzero.errors import MalformedError, TransportError
from slotzero.market.offchain import fetch_offchain
from slotzero.trading.filters import Refusal

__all__ = ["socials_objection"]


async def socials_objection(uri: str) -> Refusal | None:
    """Return why a coin does not have the socials that are asked for, or None. Fails closed. *Cancellation: safe.*"""
    try:
        document = await fetch_offchain(uri)
    except (MalformedError, TransportError) as error:
        return Refusal(reason="no_socials", detail=f"its metadata document cannot be read: {error}")
    if document.website or document.twitter or document.telegram:
        return None
    return Refusal(reason="no_socials", detail="its metadata document names neither a site nor a social account")
