"""A JSON-RPC client: typed replies, redacted errors, every call counted by what it was for.

The client asks and reports; it does not retry. Who asks knows whether trying again is safe. The purpose of each call
is counted so that a test can prove how many calls stand between a frame and signed bytes (none).
"""

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Generic, Literal, Self, TypeVar, cast

import aiohttp
import msgspec
from msgspec import UNSET, Struct, UnsetType
from solders.hash import Hash
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError, RateLimitedError, RpcError, TransportError
from slotzero.secret import redacted_url
from slotzero.solana.transaction import RecentBlockhash
from slotzero.units import BlockHeight, Lamports, Slot

__all__ = [
    "AccountInfo",
    "Commitment",
    "Purpose",
    "RpcClient",
    "SignatureStatus",
    "Simulation",
    "TokenBalance",
    "TransactionRecord",
]

Commitment = Literal["processed", "confirmed", "finalized"]
Purpose = Literal["startup", "warm", "plan", "safety", "send", "confirm", "account"]
"""What a call is for. `plan` must stay at zero: it exists to be counted."""

T = TypeVar("T")
JsonValue = Any  # a JSON value on the wire: the codec's own edge
_MS_PER_S: Final = 1000
_MAX_REPLY_BYTES: Final = 32 << 20
_HTTP_OK: Final = 200
_HTTP_TOO_MANY: Final = 429


class AccountInfo(Struct, frozen=True, kw_only=True):
    """An account as the cluster holds it."""

    lamports: Lamports
    owner: Pubkey
    data: bytes
    executable: bool


class SignatureStatus(Struct, frozen=True, kw_only=True):
    """What the cluster knows of a signature. `err` is None for success, else the error as JSON."""

    slot: Slot
    confirmation: Commitment
    err: object


class Simulation(Struct, frozen=True, kw_only=True):
    """The result of simulateTransaction; `accounts` are the watched accounts after it, in order."""

    err: object
    logs: tuple[str, ...]
    units: int
    accounts: tuple[AccountInfo | None, ...]


class TokenBalance(Struct, frozen=True, kw_only=True):
    """A token balance after a transaction."""

    owner: str
    mint: str
    amount: int


class TransactionRecord(Struct, frozen=True, kw_only=True):
    """A landed transaction as seen by its fee payer."""

    slot: Slot
    err: object
    fee: Lamports
    payer_before: Lamports
    payer_after: Lamports
    token_balances: tuple[TokenBalance, ...]


# ---- the wire ------------------------------------------------------------------------------------------------------


class _Error(Struct):
    code: int
    message: str
    data: JsonValue = None


class _Reply(Struct, Generic[T]):
    result: T | UnsetType = UNSET
    error: _Error | None = None


class _Context(Struct):
    slot: int


class _WithContext(Struct, Generic[T]):
    context: _Context
    value: T


class _Account(Struct):
    lamports: int
    owner: str
    data: tuple[str, str]
    executable: bool


class _Blockhash(Struct):
    blockhash: str
    lastValidBlockHeight: int  # noqa: N815 the wire's own name


class _Status(Struct):
    slot: int
    confirmationStatus: Commitment | None = None  # noqa: N815
    err: JsonValue = None


class _Simulated(Struct):
    err: JsonValue = None
    logs: list[str] | None = None
    unitsConsumed: int | None = None  # noqa: N815
    accounts: list[_Account | None] | None = None


class _Amount(Struct):
    amount: str


class _TokenBalance(Struct):
    mint: str
    uiTokenAmount: _Amount  # noqa: N815
    owner: str = ""


class _Meta(Struct):
    fee: int
    preBalances: list[int]  # noqa: N815
    postBalances: list[int]  # noqa: N815
    err: JsonValue = None
    postTokenBalances: list[_TokenBalance] | None = None  # noqa: N815


class _Transaction(Struct):
    slot: int
    meta: _Meta


class RpcClient:
    """One endpoint over one keep-alive HTTP session. Use it as an async context manager.

    Args:
        url: The endpoint; credentials in it never reach an error or a log.
        timeout_ms: How long one call may take.
    """

    def __init__(self, url: str, *, timeout_ms: int = 5_000) -> None:
        self._url = url
        self.endpoint = redacted_url(url)
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / _MS_PER_S)
        self._session: aiohttp.ClientSession | None = None
        self._decoders: dict[object, msgspec.json.Decoder[Any]] = {}
        self._next_id = 0
        self.calls: Counter[str] = Counter()
        """Calls made, by purpose."""

    async def __aenter__(self) -> Self:
        """Open the session."""
        connector = aiohttp.TCPConnector(limit=64, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, headers={"Content-Type": "application/json"}
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # ---- reads -----------------------------------------------------------------------------------------------------

    async def get_version(self, *, purpose: Purpose = "startup") -> dict[str, object]:
        """Return the node's version object."""
        return await self._call("getVersion", [], dict[str, object], purpose)

    async def get_genesis_hash(self, *, purpose: Purpose = "startup") -> str:
        """Return the genesis hash: which cluster this is."""
        return await self._call("getGenesisHash", [], str, purpose)

    async def get_latest_blockhash(self, commitment: Commitment, *, purpose: Purpose = "warm") -> RecentBlockhash:
        """Return the newest blockhash at `commitment`."""
        params = [{"commitment": commitment}]
        reply = await self._call("getLatestBlockhash", params, _WithContext[_Blockhash], purpose)
        return RecentBlockhash(
            hash=Hash.from_string(reply.value.blockhash),
            last_valid_block_height=BlockHeight(reply.value.lastValidBlockHeight),
        )

    async def get_block_height(self, commitment: Commitment, *, purpose: Purpose = "confirm") -> BlockHeight:
        """Return the block height at `commitment`; a blockhash expires by it."""
        return BlockHeight(await self._call("getBlockHeight", [{"commitment": commitment}], int, purpose))

    async def get_balance(self, key: Pubkey, commitment: Commitment, *, purpose: Purpose = "account") -> Lamports:
        """Return the lamports of `key`."""
        params = [str(key), {"commitment": commitment}]
        return Lamports((await self._call("getBalance", params, _WithContext[int], purpose)).value)

    async def get_minimum_balance(self, size: int, *, purpose: Purpose = "startup") -> Lamports:
        """Return the rent-exempt minimum of an account of `size` bytes; it falls in steps, so never hard-code it."""
        return Lamports(await self._call("getMinimumBalanceForRentExemption", [size], int, purpose))

    async def get_multiple_accounts(
        self, keys: Sequence[Pubkey], commitment: Commitment, *, purpose: Purpose = "account"
    ) -> list[AccountInfo | None]:
        """Return the accounts of at most 100 `keys`, in their order; None where there is none."""
        params = [[str(key) for key in keys], {"commitment": commitment, "encoding": "base64"}]
        reply = await self._call("getMultipleAccounts", params, _WithContext[list[_Account | None]], purpose)
        return [self._account(account) for account in reply.value]

    async def get_signature_statuses(
        self, signatures: Sequence[str], *, search_history: bool = False, purpose: Purpose = "confirm"
    ) -> list[SignatureStatus | None]:
        """Return what the node knows of at most 256 `signatures`; None is *not known*, which is not *failed*."""
        params = [list(signatures), {"searchTransactionHistory": search_history}]
        reply = await self._call("getSignatureStatuses", params, _WithContext[list[_Status | None]], purpose)
        return [
            None
            if status is None
            else SignatureStatus(
                slot=Slot(status.slot), confirmation=status.confirmationStatus or "processed", err=status.err
            )
            for status in reply.value
        ]

    async def get_transaction(
        self, signature: str, commitment: Literal["confirmed", "finalized"], *, purpose: Purpose = "account"
    ) -> TransactionRecord | None:
        """Return a landed transaction as its fee payer saw it, or None when the node does not know it."""
        options = {"commitment": commitment, "encoding": "json", "maxSupportedTransactionVersion": 1}
        may_be_null = cast("type[_Transaction | None]", _Transaction | None)
        reply = await self._call("getTransaction", [signature, options], may_be_null, purpose)
        if reply is None:
            return None
        meta = reply.meta
        return TransactionRecord(
            slot=Slot(reply.slot),
            err=meta.err,
            fee=Lamports(meta.fee),
            payer_before=Lamports(meta.preBalances[0]),
            payer_after=Lamports(meta.postBalances[0]),
            token_balances=tuple(
                TokenBalance(owner=balance.owner, mint=balance.mint, amount=int(balance.uiTokenAmount.amount))
                for balance in meta.postTokenBalances or ()
            ),
        )

    async def simulate(
        self, raw: bytes, watch: Sequence[Pubkey], commitment: Commitment, *, purpose: Purpose = "safety"
    ) -> Simulation:
        """Run `raw` without landing it, signatures unverified and the blockhash replaced.

        Returns:
            The result, with the state after it of each account in `watch`.
        """
        options: dict[str, object] = {
            "encoding": "base64",
            "commitment": commitment,
            "sigVerify": False,
            "replaceRecentBlockhash": True,
            "accounts": {"addresses": [str(key) for key in watch], "encoding": "base64"},
        }
        params = [b64encode(raw).decode(), options]
        value = (await self._call("simulateTransaction", params, _WithContext[_Simulated], purpose)).value
        accounts = value.accounts if value.accounts is not None else [None] * len(watch)
        return Simulation(
            err=value.err,
            logs=tuple(value.logs or ()),
            units=value.unitsConsumed or 0,
            accounts=tuple(self._account(account) for account in accounts),
        )

    # ---- writes ----------------------------------------------------------------------------------------------------

    async def send_transaction(self, raw: bytes, *, purpose: Purpose = "send") -> str:
        """Hand `raw` to the node, without preflight and without the node's own retries. Returns the signature.

        A reply means the node took it, nothing more. *Cancellation: leaves an unknown send.*
        """
        options = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        return await self._call("sendTransaction", [b64encode(raw).decode(), options], str, purpose)

    async def request_airdrop(self, key: Pubkey, lamports: Lamports, *, purpose: Purpose = "startup") -> str:
        """Ask a test cluster's faucet for `lamports`. Returns the signature."""
        return await self._call("requestAirdrop", [str(key), lamports], str, purpose)

    # ---- the one way out -------------------------------------------------------------------------------------------

    async def _call(self, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        session = self._session
        assert session is not None, "RpcClient is used outside its context"
        self.calls[purpose] += 1
        self._next_id += 1
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params})
        try:
            async with session.post(self._url, data=body) as response:
                if response.status == _HTTP_TOO_MANY:
                    raise RateLimitedError(self.endpoint, _retry_after_ms(response.headers.get("Retry-After")))
                raw = await response.content.read(_MAX_REPLY_BYTES)
                while not response.content.at_eof():
                    more = await response.content.read(_MAX_REPLY_BYTES)
                    raw += more
                    if len(raw) > _MAX_REPLY_BYTES:
                        raise MalformedError(f"{self.endpoint}: {method} answered with more than 32 MiB")
                status = response.status
        except TimeoutError as error:
            raise TransportError(self.endpoint, f"{method} was not answered in time") from error
        except (aiohttp.ClientError, OSError) as error:
            # The text of an aiohttp error may hold the whole address, a key within it included.
            raise TransportError(self.endpoint, f"{method} failed ({type(error).__name__})") from None
        return self._decode(method, status, raw, result)

    def _decode(self, method: str, status: int, raw: bytes, result: type[T]) -> T:
        decoder = self._decoders.get(result)
        if decoder is None:
            decoder = self._decoders[result] = msgspec.json.Decoder(_Reply[result])  # type: ignore[valid-type] # built once for each result type
        try:
            reply = decoder.decode(raw)
        except msgspec.MsgspecError as error:
            if status != _HTTP_OK:
                raise TransportError(self.endpoint, f"{method} was answered with HTTP {status}") from error
            raise MalformedError(f"{self.endpoint}: {method} answered with something else: {error}") from error
        if reply.error is not None:
            raise RpcError(self.endpoint, reply.error.code, reply.error.message, reply.error.data)
        if reply.result is UNSET:
            raise MalformedError(f"{self.endpoint}: {method} answered with neither a result nor an error")
        value: T = reply.result
        return value

    def _account(self, account: _Account | None) -> AccountInfo | None:
        if account is None:
            return None
        data, encoding = account.data
        if encoding != "base64":
            raise MalformedError(f"{self.endpoint}: account data came as {encoding}, asked for base64")
        return AccountInfo(
            lamports=Lamports(account.lamports),
            owner=Pubkey.from_string(account.owner),
            data=b64decode(data),
            executable=account.executable,
        )


def _retry_after_ms(header: str | None) -> int | None:
    return int(header) * _MS_PER_S if header is not None and header.isascii() and header.isdigit() else None
