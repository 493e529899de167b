"""JSON-RPC: typed replies, redacted errors, every call counted by what it was for.

`Rpc` is what can be asked of a cluster; `RpcClient` asks one endpoint, `endpoints.EndpointPool` several.
The client asks and reports; it does not retry. Who asks knows whether trying again is safe. The purpose of each call
is counted so that a test can prove how many calls stand between a frame and signed bytes (none).
"""

import abc
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, Literal, Self, TypeVar, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType
from solders.hash import Hash, ParseHashError
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError, RateLimitedError, RpcError, TransportError
from slotzero.secret import redacted_url
from slotzero.solana.http import CrowdedTimeoutError, HttpClient, TooLargeError
from slotzero.solana.transaction import RecentBlockhash
from slotzero.units import BlockHeight, Lamports, MicroLamportsPerCu, Slot

__all__ = [
    "MIN_CONTEXT_SLOT_NOT_REACHED",
    "AccountInfo",
    "Commitment",
    "CrowdedError",
    "Purpose",
    "RecentFee",
    "Rpc",
    "RpcClient",
    "SignatureStatus",
    "Simulation",
    "TokenBalance",
    "TransactionRecord",
    "WithSlot",
    "context_slot",
]

Commitment = Literal["processed", "confirmed", "finalized"]
Purpose = Literal["startup", "warm", "plan", "safety", "send", "exit", "confirm", "account"]
"""What a call is for. `plan` must stay at zero: it exists to be counted. `exit` is a send that matters more than
others, a sell: a pause an endpoint has asked for slows it down and does not stop it (see `endpoints`)."""

MIN_CONTEXT_SLOT_NOT_REACHED: Final = -32016
"""The RPC error of a node that has not come as far as `minContextSlot`; another node may have."""

T = TypeVar("T")
JsonValue = Any  # a JSON value on the wire: the codec's own edge
_MS_PER_S: Final = 1000
_MAX_REPLY_BYTES: Final = 32 << 20
_HTTP_OK: Final = 200
_HTTP_TOO_MANY: Final = 429
_RETRY_AFTER_DIGITS: Final = 9
_SENDS: Final[frozenset[Purpose]] = frozenset({"send", "exit"})
_ONCE: Final = frozenset({"requestAirdrop"})
"""Writes that would be done twice if they were asked twice; a transaction lands once, however often it is sent."""


class CrowdedError(TransportError):
    """Our own other calls to an endpoint took the time of this one: its silence says nothing of the endpoint.

    Attributes:
        has_left: Whether it was asked at last, so that it may have been done. False = nothing was sent.
    """

    def __init__(self, endpoint: str, message: str, *, has_left: bool) -> None:
        self.has_left = has_left
        super().__init__(endpoint, message)


class WithSlot(Struct, Generic[T], frozen=True, kw_only=True):
    """An answer, and the slot of the bank it was read from."""

    slot: Slot
    value: T


class RecentFee(Struct, frozen=True, kw_only=True):
    """The least compute unit price that landed in a slot, among transactions that write the accounts asked about."""

    slot: Slot
    price: MicroLamportsPerCu


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
    """A landed transaction as seen by its fee payer.

    Attributes:
        units_consumed: Its compute units; None where the node does not say.
    """

    slot: Slot
    err: object
    fee: Lamports
    payer_before: Lamports
    payer_after: Lamports
    token_balances: tuple[TokenBalance, ...]
    units_consumed: int | None = None


# ---- the wire ------------------------------------------------------------------------------------------------------


class _Error(Struct):
    code: int
    message: str
    data: JsonValue = None


class _Reply(Struct, Generic[T]):
    id: int | None = None
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


class _KeyedAccount(Struct):
    pubkey: str
    account: _Account


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
    owner: str


class _Meta(Struct):
    fee: int
    preBalances: list[int]  # noqa: N815
    postBalances: list[int]  # noqa: N815
    postTokenBalances: list[_TokenBalance]  # noqa: N815 a node that keeps none would make a full position look empty
    err: JsonValue = None
    computeUnitsConsumed: int | None = None  # noqa: N815


class _Transaction(Struct):
    slot: int
    meta: _Meta


class _RecentFee(Struct):
    slot: int
    prioritizationFee: int  # noqa: N815


def context_slot(result: object) -> Slot | None:
    """Return the slot a decoded result says it was read at, or None when it says none. *Pure.*"""
    return Slot(result.context.slot) if isinstance(result, _WithContext) else None


def _at(commitment: Commitment, min_context_slot: Slot | None, **more: object) -> dict[str, object]:
    options: dict[str, object] = {"commitment": commitment, **more}
    if min_context_slot is not None:
        options["minContextSlot"] = min_context_slot
    return options


class Rpc(abc.ABC):
    """What can be asked of a cluster, whoever answers.

    `min_context_slot` refuses the answer of a node that has not come so far: RpcError with code
    `MIN_CONTEXT_SLOT_NOT_REACHED`.

    Args:
        endpoint: Its name in errors and logs, without anything secret.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.calls: Counter[str] = Counter()
        """Calls made, by purpose."""

    # ---- reads -----------------------------------------------------------------------------------------------------

    async def get_version(self, *, purpose: Purpose = "startup") -> dict[str, object]:
        """Return the node's version object."""
        return await self._call("getVersion", [], dict[str, object], purpose)

    async def get_genesis_hash(self, *, purpose: Purpose = "startup") -> str:
        """Return the genesis hash: which cluster this is."""
        return await self._call("getGenesisHash", [], str, purpose)

    async def get_latest_blockhash(self, commitment: Commitment, *, purpose: Purpose = "warm") -> RecentBlockhash:
        """Return the newest blockhash at `commitment`."""
        return (await self.latest_blockhash_at(commitment, purpose=purpose)).value

    async def latest_blockhash_at(
        self, commitment: Commitment, *, min_context_slot: Slot | None = None, purpose: Purpose = "warm"
    ) -> WithSlot[RecentBlockhash]:
        """Return the newest blockhash at `commitment` and the slot of its block."""
        params = [_at(commitment, min_context_slot)]
        reply = await self._call("getLatestBlockhash", params, _WithContext[_Blockhash], purpose)
        with self._reading("getLatestBlockhash"):
            newest = RecentBlockhash(
                hash=Hash.from_string(reply.value.blockhash),
                last_valid_block_height=BlockHeight(reply.value.lastValidBlockHeight),
            )
        return WithSlot(slot=Slot(reply.context.slot), value=newest)

    async def get_block_height(
        self, commitment: Commitment, *, min_context_slot: Slot | None = None, purpose: Purpose = "confirm"
    ) -> BlockHeight:
        """Return the block height at `commitment`; a blockhash expires by it."""
        return BlockHeight(await self._call("getBlockHeight", [_at(commitment, min_context_slot)], int, purpose))

    async def get_balance(
        self,
        key: Pubkey,
        commitment: Commitment,
        *,
        min_context_slot: Slot | None = None,
        purpose: Purpose = "account",
    ) -> Lamports:
        """Return the lamports of `key`."""
        params = [str(key), _at(commitment, min_context_slot)]
        return Lamports((await self._call("getBalance", params, _WithContext[int], purpose)).value)

    async def get_minimum_balance(self, size: int, *, purpose: Purpose = "startup") -> Lamports:
        """Return the rent-exempt minimum of an account of `size` bytes; it falls in steps, so never hard-code it."""
        return Lamports(await self._call("getMinimumBalanceForRentExemption", [size], int, purpose))

    async def get_recent_prioritization_fees(
        self, keys: Sequence[Pubkey], *, purpose: Purpose = "warm"
    ) -> list[RecentFee]:
        """Return, for up to 150 recent slots, the least price that landed while writing all of at most 128 `keys`."""
        params = [[str(key) for key in keys]]
        reply = await self._call("getRecentPrioritizationFees", params, list[_RecentFee], purpose)
        return [RecentFee(slot=Slot(fee.slot), price=MicroLamportsPerCu(fee.prioritizationFee)) for fee in reply]

    async def get_multiple_accounts(
        self, keys: Sequence[Pubkey], commitment: Commitment, *, purpose: Purpose = "account"
    ) -> list[AccountInfo | None]:
        """Return the accounts of at most 100 `keys`, in their order; None where there is none."""
        return (await self.accounts_at(keys, commitment, purpose=purpose)).value

    async def accounts_at(
        self,
        keys: Sequence[Pubkey],
        commitment: Commitment,
        *,
        min_context_slot: Slot | None = None,
        purpose: Purpose = "account",
    ) -> WithSlot[list[AccountInfo | None]]:
        """Return the accounts of at most 100 `keys`, in their order, and the slot all of them were read at."""
        params = [[str(key) for key in keys], _at(commitment, min_context_slot, encoding="base64")]
        reply = await self._call("getMultipleAccounts", params, _WithContext[list[_Account | None]], purpose)
        self._expect(len(keys), reply.value, "getMultipleAccounts")
        with self._reading("getMultipleAccounts"):
            accounts = [_account(account) for account in reply.value]
        return WithSlot(slot=Slot(reply.context.slot), value=accounts)

    async def get_token_accounts_by_owner(
        self,
        owner: Pubkey,
        commitment: Commitment,
        *,
        program: Pubkey | None = None,
        mint: Pubkey | None = None,
        min_context_slot: Slot | None = None,
        purpose: Purpose = "account",
    ) -> list[tuple[Pubkey, AccountInfo]]:
        """Return the token accounts of a wallet, each with its address: those of one token program, or for one mint.

        Args:
            owner: The wallet.
            commitment: At which they are read.
            program: One of the two token programs; give this or `mint`.
            mint: Whatever program it belongs to.
            min_context_slot: Refuse the answer of a node that has not come so far.
            purpose: What the call is counted as.
        """
        assert (program is None) != (mint is None), "the accounts of a program, or for a mint"
        wanted = {"programId": str(program)} if program is not None else {"mint": str(mint)}
        params = [str(owner), wanted, _at(commitment, min_context_slot, encoding="base64")]
        reply = await self._call("getTokenAccountsByOwner", params, _WithContext[list[_KeyedAccount]], purpose)
        with self._reading("getTokenAccountsByOwner"):
            return [(Pubkey.from_string(row.pubkey), _present_account(row.account)) for row in reply.value]

    async def get_signature_statuses(
        self, signatures: Sequence[str], *, search_history: bool = False, purpose: Purpose = "confirm"
    ) -> list[SignatureStatus | None]:
        """Return what the node knows of at most 256 `signatures`; None is *not known*, which is not *failed*."""
        reply = await self.signature_statuses_at(signatures, search_history=search_history, purpose=purpose)
        return reply.value

    async def signature_statuses_at(
        self, signatures: Sequence[str], *, search_history: bool = False, purpose: Purpose = "confirm"
    ) -> WithSlot[list[SignatureStatus | None]]:
        """Return what the node knows of at most 256 `signatures`, and the slot of the *processed* bank it looked in."""
        params = [list(signatures), {"searchTransactionHistory": search_history}]
        reply = await self._call("getSignatureStatuses", params, _WithContext[list[_Status | None]], purpose)
        self._expect(len(signatures), reply.value, "getSignatureStatuses")
        statuses = [
            None
            if status is None
            else SignatureStatus(
                slot=Slot(status.slot), confirmation=status.confirmationStatus or "processed", err=status.err
            )
            for status in reply.value
        ]
        return WithSlot(slot=Slot(reply.context.slot), value=statuses)

    async def get_transaction(
        self, signature: str, commitment: Literal["confirmed", "finalized"], *, purpose: Purpose = "account"
    ) -> TransactionRecord | None:
        """Return a landed transaction as its fee payer saw it, or None when the node does not know it."""
        options = {"commitment": commitment, "encoding": "base64", "maxSupportedTransactionVersion": 1}
        may_be_null = cast("type[_Transaction | None]", _Transaction | None)
        reply = await self._call("getTransaction", [signature, options], may_be_null, purpose)
        if reply is None:
            return None
        meta = reply.meta
        with self._reading("getTransaction"):
            return TransactionRecord(
                slot=Slot(reply.slot),
                err=meta.err,
                fee=Lamports(meta.fee),
                payer_before=Lamports(meta.preBalances[0]),
                payer_after=Lamports(meta.postBalances[0]),
                token_balances=tuple(
                    TokenBalance(owner=balance.owner, mint=balance.mint, amount=int(balance.uiTokenAmount.amount))
                    for balance in meta.postTokenBalances
                ),
                units_consumed=meta.computeUnitsConsumed,
            )

    async def simulate(
        self,
        raw: bytes,
        watch: Sequence[Pubkey],
        commitment: Commitment,
        *,
        min_context_slot: Slot | None = None,
        purpose: Purpose = "safety",
    ) -> Simulation:
        """Run `raw` without landing it, signatures unverified and the blockhash replaced.

        Returns:
            The result, with the state after it of each account in `watch`.
        """
        options = _at(
            commitment,
            min_context_slot,
            encoding="base64",
            sigVerify=False,
            replaceRecentBlockhash=True,
            accounts={"addresses": [str(key) for key in watch], "encoding": "base64"},
        )
        params = [b64encode(raw).decode(), options]
        value = (await self._call("simulateTransaction", params, _WithContext[_Simulated], purpose)).value
        accounts = value.accounts if value.accounts is not None else [None] * len(watch)
        self._expect(len(watch), accounts, "simulateTransaction")
        with self._reading("simulateTransaction"):
            return Simulation(
                err=value.err,
                logs=tuple(value.logs or ()),
                units=value.unitsConsumed or 0,
                accounts=tuple(_account(account) for account in accounts),
            )

    # ---- writes ----------------------------------------------------------------------------------------------------

    async def send_transaction(self, raw: bytes, *, purpose: Purpose = "send") -> str:
        """Hand `raw` to the node, without preflight and without the node's own retries. Returns the signature.

        A reply means the node took it, nothing more. *Cancellation: leaves an unknown send.*

        Args:
            raw: The signed transaction.
            purpose: "send", or "exit" for a sell.
        """
        options = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        return await self._call("sendTransaction", [b64encode(raw).decode(), options], str, purpose)

    async def request_airdrop(self, key: Pubkey, lamports: Lamports, *, purpose: Purpose = "startup") -> str:
        """Ask a test cluster's faucet for `lamports`. Returns the signature."""
        return await self._call("requestAirdrop", [str(key), lamports], str, purpose)

    # ---- the one way out -------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def _call(self, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        """Ask, and return the reply's result as a `result`. Raises EndpointError and MalformedError."""

    def _expect(self, count: int, items: Sequence[object], method: str) -> None:
        if len(items) != count:
            raise MalformedError(f"{self.endpoint}: {method} answered with {len(items)} items, asked for {count}")

    @contextmanager
    def _reading(self, method: str) -> Iterator[None]:
        """Turn what a value cannot be converted from into our own error."""
        try:
            yield
        except (ValueError, IndexError, ParseHashError) as error:
            raise MalformedError(f"{self.endpoint}: {method} answered with something else: {error}") from error


class RpcClient(Rpc):
    """One endpoint over kept HTTP connections. Use it as an async context manager.

    Args:
        url: The endpoint; credentials in it never reach an error or a log.
        timeout_ms: How long one call may take.
    """

    def __init__(self, url: str, *, timeout_ms: int = 5_000) -> None:
        super().__init__(redacted_url(url))
        self._url = url
        self._timeout_ms = timeout_ms
        self._http: HttpClient | None = None
        self._decoders: dict[object, msgspec.json.Decoder[Any]] = {}
        self._next_id = 0

    async def __aenter__(self) -> Self:
        """Make ready; connections are made by the calls."""
        self._http = HttpClient(self._url, timeout_ms=self._timeout_ms, most_bytes=_MAX_REPLY_BYTES)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.__aexit__(*exc)
            self._http = None

    async def _call(self, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        return await self._post("", method, params, result, purpose)

    async def _post(self, below: str, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        http = self._http
        assert http is not None, "RpcClient is used outside its context"
        self.calls[purpose] += 1
        self._next_id = number = self._next_id + 1
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        try:
            reply = await http.post(body, below=below, is_urgent=purpose in _SENDS, is_repeatable=method not in _ONCE)
        except TooLargeError:
            raise MalformedError(f"{self.endpoint}: {method} answered with more than 32 MiB") from None
        except CrowdedTimeoutError as error:
            why = "came too late to be answered in time" if error.has_left else "was not asked"
            raise CrowdedError(
                self.endpoint, f"{method} {why}: too many calls were under way", has_left=error.has_left
            ) from None
        except TimeoutError:
            raise TransportError(self.endpoint, f"{method} was not answered in time") from None
        except OSError as error:
            raise TransportError(self.endpoint, f"{method} failed ({type(error).__name__})") from error
        if reply.status == _HTTP_TOO_MANY:
            raise RateLimitedError(self.endpoint, _retry_after_ms(reply.retry_after))
        return self._decode(method, reply.status, reply.body, result, number)

    def _decode(self, method: str, status: int, raw: bytes, result: type[T], number: int | None = None) -> T:
        """Return the result in `raw`. It must be the reply to the request of that `number`; None = to any."""
        decoder = self._decoders.get(result)
        if decoder is None:
            decoder = self._decoders[result] = msgspec.json.Decoder(_Reply[result])  # type: ignore[valid-type] # built once for each result type
        try:
            reply = decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            if status != _HTTP_OK:
                raise TransportError(self.endpoint, f"{method} was answered with HTTP {status}") from error
            raise MalformedError(f"{self.endpoint}: {method} answered with something else: {error}") from error
        # A request that could not be read is refused without its id, or with null.
        if reply.id != number and number is not None and (reply.id is not None or reply.error is None):
            raise MalformedError(f"{self.endpoint}: {method} was answered with id {reply.id}, asked with {number}")
        if reply.error is not None:
            raise RpcError(self.endpoint, reply.error.code, reply.error.message, reply.error.data)
        if reply.result is UNSET:
            raise MalformedError(f"{self.endpoint}: {method} answered with neither a result nor an error")
        value: T = reply.result
        return value


def _account(account: _Account | None) -> AccountInfo | None:
    return None if account is None else _present_account(account)


def _present_account(account: _Account) -> AccountInfo:
    data, encoding = account.data
    if encoding != "base64":
        raise ValueError(f"account data came as {encoding}, asked for base64")
    return AccountInfo(
        lamports=Lamports(account.lamports),
        owner=Pubkey.from_string(account.owner),
        data=b64decode(data, validate=True),
        executable=account.executable,
    )


def _retry_after_ms(header: str | None) -> int | None:
    """Read a number of seconds; a date, or a number nobody means, is None."""
    if header is None or not (header.isascii() and header.isdigit() and len(header) <= _RETRY_AFTER_DIGITS):
        return None
    return int(header) * _MS_PER_S
