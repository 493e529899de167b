"""An endpoint that reads the real chain and keeps our transactions to itself.

What is about us is answered from the desk: our sends, their statuses, our balances, the pools as our trades would have
left them. What is about the chain is asked of the chain, by an allow-list of methods that change nothing. No method
that could send anything is on it, so nothing can be sent, whatever the bot asks for.
"""

from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, elapsed_ns, later
from slotzero.errors import MalformedError, RpcError
from slotzero.solana.rpc import Commitment, Purpose, Rpc
from slotzero.trading.paper.desk import PaperDesk
from slotzero.trading.paper.wire import account_json, transaction_json, with_context
from slotzero.units import DurationNs, Slot

__all__ = ["FORWARDED", "PaperRpc"]

T = TypeVar("T")

_NOT_HERE: Final = -32601
_INVALID_PARAMS: Final = -32602

FORWARDED: Final = frozenset(
    {
        "getBlockHeight",
        "getGenesisHash",
        "getLatestBlockhash",
        "getMinimumBalanceForRentExemption",
        "getRecentPrioritizationFees",
        "getSignaturesForAddress",
        "getTokenLargestAccounts",
        "getVersion",
    }
)
"""What is asked of the chain as it is. `getMultipleAccounts` and those about strangers are asked, too."""


class _Options(Struct, rename="camel"):
    commitment: Commitment = "finalized"
    min_context_slot: int | None = None


class _Watched(Struct):
    addresses: list[str] = []


class _SimulateOptions(Struct):
    accounts: _Watched | None = None


class PaperRpc(Rpc):
    """The endpoint.

    Args:
        upstream: Who is asked about the chain, entered.
        desk: Where our transactions go.
        clock: For the time a send takes, which is measured on the calls that are made.
    """

    def __init__(self, upstream: Rpc, desk: PaperDesk, *, clock: Clock) -> None:
        super().__init__(upstream.endpoint)
        self._upstream = upstream
        self._desk = desk
        self._clock = clock
        self.forwarded: Counter[str] = Counter()
        """What the chain was asked, by method."""

    async def _call(self, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        self.calls[purpose] += 1
        if method in FORWARDED:
            return await self._forward(method, params, result, purpose)
        value: object
        match method:
            case "sendTransaction":
                value = await self._send(b64decode(params[0]))
            case "getSignatureStatuses":
                value = with_context(self._desk.slot, [self._status(signature) for signature in params[0]])
            case "getTransaction":
                fill = self._desk.fill(params[0])
                is_there = fill is not None and fill.slot < self._desk.slot
                value = transaction_json(fill) if fill is not None and is_there else None
            case "simulateTransaction":
                value = await self._simulate(params)
            case "getMultipleAccounts":
                value = await self._accounts(params, purpose)
            case "getBalance":
                return await self._balance(params, result, purpose)
            case "getTokenAccountsByOwner":
                return await self._token_accounts(params, result, purpose)
            case _:
                raise RpcError(self.endpoint, _NOT_HERE, f"{method} is not for paper trading", None)
        return msgspec.convert(value, result)

    async def _forward(self, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        self.forwarded[method] += 1
        began = self._clock.mono_ns()
        reply = await self._upstream._call(method, params, result, purpose)  # noqa: SLF001 the same, one further on
        self._desk.on_round_trip(elapsed_ns(began, self._clock.mono_ns()))
        return reply

    # ---- about us --------------------------------------------------------------------------------------------------

    async def _send(self, raw: bytes) -> str:
        """Let a transaction take the time to the node, and its reply the time back."""
        half = DurationNs(self._desk.round_trip_ns // 2)
        await self._clock.sleep_until(later(self._clock.mono_ns(), half))
        try:
            signature = self._desk.submit(raw)
        except MalformedError as error:
            raise RpcError(self.endpoint, _INVALID_PARAMS, str(error), None) from error
        await self._clock.sleep_until(later(self._clock.mono_ns(), half))
        return signature

    def _status(self, signature: str) -> Mapping[str, object] | None:
        fill = self._desk.fill(signature)
        if fill is None:
            return None
        is_confirmed = fill.slot < self._desk.slot
        return {"slot": fill.slot, "confirmationStatus": "confirmed" if is_confirmed else "processed", "err": fill.err}

    async def _simulate(self, params: list[Any]) -> object:
        options = msgspec.convert(params[1], _SimulateOptions)
        watch = [Pubkey.from_string(key) for key in options.accounts.addresses] if options.accounts else []
        self.forwarded["getMultipleAccounts"] += 1
        run, accounts = await self._desk.simulate(b64decode(params[0]), watch)
        value = {
            "err": run.err,
            "logs": list(run.logs),
            "unitsConsumed": run.units,
            "accounts": [account_json(account) for account in accounts],
        }
        return with_context(self._desk.slot, value)

    async def _accounts(self, params: list[Any], purpose: Purpose) -> object:
        keys = [Pubkey.from_string(key) for key in params[0]]
        options, book = msgspec.convert(params[1], _Options), self._desk.book
        asked = [key for key in keys if key not in book.wallets]
        found, slot = {}, self._desk.slot
        if asked:
            self.forwarded["getMultipleAccounts"] += 1
            lowest = None if options.min_context_slot is None else Slot(options.min_context_slot)
            reply = await self._upstream.accounts_at(
                asked, options.commitment, min_context_slot=lowest, purpose=purpose
            )
            found, slot = dict(zip(asked, reply.value, strict=True)), reply.slot
        return with_context(slot, [account_json(book.view(key, found.get(key))) for key in keys])

    async def _balance(self, params: list[Any], result: type[T], purpose: Purpose) -> T:
        key = Pubkey.from_string(params[0])
        if key not in self._desk.book.wallets:
            return await self._forward("getBalance", params, result, purpose)
        return msgspec.convert(with_context(self._desk.slot, self._desk.book.balance(key)), result)

    async def _token_accounts(self, params: list[Any], result: type[T], purpose: Purpose) -> T:
        owner, wanted = Pubkey.from_string(params[0]), params[1]
        if owner not in self._desk.book.wallets:
            return await self._forward("getTokenAccountsByOwner", params, result, purpose)
        program, mint = wanted.get("programId"), wanted.get("mint")
        rows = [
            {"pubkey": str(key), "account": account_json(account)}
            for key, account in self._desk.book.token_accounts(owner)
            if program in (None, str(account.owner)) and mint in (None, str(Pubkey.from_bytes(account.data[:32])))
        ]
        return msgspec.convert(with_context(self._desk.slot, rows), result)
