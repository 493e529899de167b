"""Jito's block engine as a sender: bundles, single transactions with revert protection, and what became of them.

The engine takes one request a second from an address by default, statuses included, so what has landed is asked of our
own RPC and the engine is asked rarely. "Taken" promises nothing: a bundle may lose its auctions until its blockhash
expires, which is why each outcome says what is certain:

* `BundleLanded`: the chain has all of it.
* `BundleFailed`: it has none of it. `is_final` tells whether that can still change: until the blockhash has expired an
  engine may have kept what it said it dropped, so a buy must not be signed again before.
* `BundleUnknown`: the chain could not be asked for a minute.

The tip belongs into the transaction it is for (see `tips`). Sending the same bytes again is safe: the signatures
de-duplicate them.
"""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, add_ms, is_due
from slotzero.errors import EndpointError, MalformedError, RateLimitedError, RpcError, TransportError
from slotzero.solana.rpc import Purpose, Rpc, RpcClient, SignatureStatus
from slotzero.solana.tips import MAX_BUNDLE, bundle_id
from slotzero.solana.transaction import SignedTransaction
from slotzero.units import BlockHeight, MonoNs, Slot

__all__ = [
    "Bundle",
    "BundleFailed",
    "BundleLanded",
    "BundleOutcome",
    "BundleSender",
    "BundleUnknown",
    "InflightStatus",
    "JitoClient",
    "bundle_of",
]

_BASE: Final = "api/v1/"
_MS_BETWEEN_STATUSES: Final = 1_000
_MS_BETWEEN_SENDS: Final = 1_000
_GIVE_UP_MS: Final = 60_000
"""How long the chain may be deaf before an outcome is unknown: twice what a blockhash lives."""

T = TypeVar("T")

InflightStatus: TypeAlias = Literal["Invalid", "Pending", "Failed", "Landed"]
"""What the engine says of a bundle of the last five minutes; Invalid = it does not know it."""


class Bundle(Struct, frozen=True, kw_only=True):
    """Transactions to land together.

    Attributes:
        id: What the engine calls it.
        expires: The block height behind which none of it can land: the smallest of its transactions'.
    """

    id: str
    raws: tuple[bytes, ...]
    signatures: tuple[str, ...]
    expires: BlockHeight


class BundleLanded(Struct, frozen=True, kw_only=True, tag=True):
    """The chain has all of it, in this slot, confirmed."""

    bundle: str
    slot: Slot


class BundleFailed(Struct, frozen=True, kw_only=True, tag=True):
    """The chain has none of it.

    Attributes:
        reason: The engine's words, or ours.
        is_final: Nothing of it can land any more.
    """

    bundle: str
    reason: str
    is_final: bool


class BundleUnknown(Struct, frozen=True, kw_only=True, tag=True):
    """The chain could not be asked, for so long that it must have landed or expired: only a later look settles it."""

    bundle: str
    reason: str


BundleOutcome: TypeAlias = BundleLanded | BundleFailed | BundleUnknown


def bundle_of(*signed: SignedTransaction) -> Bundle:
    """Return the bundle of transactions, in the order they are to run; one of them must tip. *Pure.*

    Raises:
        ValueError: There is none, or there are more than five.
    """
    if not 1 <= len(signed) <= MAX_BUNDLE:
        raise ValueError(f"a bundle holds 1 to {MAX_BUNDLE} transactions, got {len(signed)}")
    signatures = tuple(transaction.signature for transaction in signed)
    return Bundle(
        id=bundle_id(signatures),
        raws=tuple(transaction.raw for transaction in signed),
        signatures=signatures,
        expires=min(transaction.last_valid_block_height for transaction in signed),
    )


class _Inflight(Struct):
    bundle_id: str
    status: InflightStatus
    landed_slot: int | None = None


class _Statuses(Struct):
    value: list[_Inflight | None] | None


class _Http(RpcClient):
    """JSON-RPC by path."""

    async def ask(self, path: str, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        return await self._post(_BASE + path, method, params, result, purpose)


class JitoClient:
    """One block engine. Use it as an async context manager.

    Args:
        url: Its address without a path, `https://<region>.mainnet.block-engine.jito.wtf` for example.
        timeout_ms: How long one call may take.
    """

    def __init__(self, url: str, *, timeout_ms: int = 2_000) -> None:
        self._http = _Http(url, timeout_ms=timeout_ms)
        self.endpoint = self._http.endpoint
        self.calls = self._http.calls

    async def __aenter__(self) -> Self:
        """Open the session."""
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the session."""
        await self._http.__aexit__(*exc)

    async def tip_accounts(self, *, purpose: Purpose = "startup") -> list[Pubkey]:
        """Return the accounts that can be tipped."""
        texts = await self._http.ask("getTipAccounts", "getTipAccounts", [], list[str], purpose)
        try:
            return [Pubkey.from_string(text) for text in texts]
        except ValueError as error:
            raise MalformedError(f"{self.endpoint}: getTipAccounts answered with something else: {error}") from error

    async def send_bundle(self, bundle: Bundle, *, purpose: Purpose = "send") -> str:
        """Hand a bundle to the engine. Returns its name. *Cancellation: leaves an unknown send.*"""
        params = [[b64encode(raw).decode() for raw in bundle.raws], {"encoding": "base64"}]
        return await self._http.ask("bundles", "sendBundle", params, str, purpose)

    async def send_transaction(self, raw: bytes, *, bundle_only: bool = True, purpose: Purpose = "send") -> str:
        """Hand a transaction to the engine. Returns its signature. *Cancellation: leaves an unknown send.*

        Args:
            raw: Its bytes.
            bundle_only: As a bundle of one: it does not land, and costs nothing, when it would fail; it must tip.
            purpose: What the call is counted as.
        """
        path = "transactions?bundleOnly=true" if bundle_only else "transactions"
        params = [b64encode(raw).decode(), {"encoding": "base64"}]
        return await self._http.ask(path, "sendTransaction", params, str, purpose)

    async def inflight_statuses(
        self, bundles: Sequence[str], *, purpose: Purpose = "confirm"
    ) -> dict[str, InflightStatus]:
        """Return what the engine says of at most five bundles, by name; it leaves out what it does not know."""
        name = "getInflightBundleStatuses"
        reply = await self._http.ask(name, name, [list(bundles)], _Statuses, purpose)
        return {row.bundle_id: row.status for row in reply.value or () if row is not None}


class BundleSender:
    """Send a bundle and say what became of it.

    Args:
        jito: The engine.
        rpc: Our own node, which is asked what has landed.
        clock: For deadlines.
        poll_ms: How often it is asked; a slot.
        give_up_ms: How long it may not answer before the outcome is unknown.
    """

    def __init__(
        self, jito: JitoClient, rpc: Rpc, *, clock: Clock, poll_ms: int = 200, give_up_ms: int = _GIVE_UP_MS
    ) -> None:
        self._jito = jito
        self._rpc = rpc
        self._clock = clock
        self._poll_ms = poll_ms
        self._give_up_ms = give_up_ms

    async def land(self, bundle: Bundle) -> BundleOutcome:
        """Send a bundle and return what became of it, however long the chain takes to say so.

        *Does I/O.* *Cancellation: leaves an unknown send.*
        """
        sending = _Sending(self._jito, bundle, self._clock)
        give_up_at = add_ms(self._clock.mono_ns(), self._give_up_ms)
        while True:
            if refusal := await sending.send_if_due():
                # Nobody has it: whether an earlier attempt was taken is not known after a fault.
                return BundleFailed(bundle=bundle.id, reason=refusal, is_final=not sending.may_be_taken)
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), self._poll_ms))
            try:
                if (outcome := await self._look(bundle)) is not None:
                    return outcome
                give_up_at = add_ms(self._clock.mono_ns(), self._give_up_ms)
                if reason := await sending.failure():
                    return BundleFailed(bundle=bundle.id, reason=reason, is_final=False)
            except (EndpointError, MalformedError) as error:
                if is_due(give_up_at, self._clock.mono_ns()):
                    return BundleUnknown(bundle=bundle.id, reason=str(error))

    async def _look(self, bundle: Bundle) -> BundleOutcome | None:
        """Ask our node. The height comes first: what could still land before it was read is seen by the statuses."""
        height = await self._rpc.get_block_height("confirmed")
        is_expired = height > bundle.expires
        statuses = await self._rpc.get_signature_statuses(bundle.signatures, search_history=is_expired)
        known = [status for status in statuses if status is not None]
        if any(status.err is not None for status in known):
            return BundleFailed(
                bundle=bundle.id, reason="one of its transactions landed alone and failed", is_final=True
            )
        if len(known) == len(statuses) and all(_is_confirmed(status) for status in known):
            return BundleLanded(bundle=bundle.id, slot=known[0].slot)
        if is_expired and not known:
            return BundleFailed(bundle=bundle.id, reason="it expired without landing", is_final=True)
        return None


class _Sending:
    """The engine's side of a bundle under way: when it is sent again and when it is asked about."""

    def __init__(self, jito: JitoClient, bundle: Bundle, clock: Clock) -> None:
        self._jito = jito
        self._bundle = bundle
        self._clock = clock
        self._send_at: MonoNs | None = MonoNs(0)
        self._ask_at = add_ms(clock.mono_ns(), _MS_BETWEEN_STATUSES)
        self.may_be_taken = False

    async def send_if_due(self) -> str | None:
        """Send when it is time. Returns the engine's words when it has refused."""
        now = self._clock.mono_ns()
        if self._send_at is None or not is_due(self._send_at, now):
            return None
        try:
            await self._jito.send_bundle(self._bundle)
        except RateLimitedError as error:
            self._send_at = add_ms(now, error.retry_after_ms or _MS_BETWEEN_SENDS)
        except TransportError:
            self.may_be_taken = True
            self._send_at = add_ms(now, _MS_BETWEEN_SENDS)
        except RpcError as error:
            if not self.may_be_taken:
                return error.rpc_message
            self._send_at = None  # "already processed" for instance: the chain will tell
        except MalformedError:
            self.may_be_taken = True
            self._send_at = None
        else:
            self.may_be_taken = True
            self._send_at = None
        return None

    async def failure(self) -> str | None:
        """Ask the engine, rarely. Returns why it has given the bundle up, None when it has not or does not say."""
        now = self._clock.mono_ns()
        if self._send_at is not None or not is_due(self._ask_at, now):
            return None
        self._ask_at = add_ms(now, _MS_BETWEEN_STATUSES)
        try:
            statuses = await self._jito.inflight_statuses([self._bundle.id])
        except (EndpointError, MalformedError):
            return None
        return "the block engine has dropped it" if statuses.get(self._bundle.id) == "Failed" else None


def _is_confirmed(status: SignatureStatus) -> bool:
    return status.confirmation != "processed"
