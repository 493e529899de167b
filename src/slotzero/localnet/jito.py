"""A block engine for bundles: up to five transactions that land together, in order and in one slot, or not at all.

Bundles are not executed when they come. They meet in an auction every 50 ms, ordered by what they tip for each compute
unit they request; then each is executed or fails as a whole. On a chain whose slots follow transactions there is no
time to wait for, and the auction is at once.

A bundle must write-lock one of the eight tip accounts when it is sent, and must have paid the minimum tip to them when
it has run. Tips paid by programs count for that, but do not raise its place in the auction: only transfers of the
transactions themselves are seen beforehand.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from solders.message import MessageV1
from solders.transaction import VersionedTransaction

from slotzero.clock import Clock, elapsed_ns, is_due, later, ms
from slotzero.errors import MalformedError
from slotzero.localnet.chain import BundleFailed, BundleLanded, Chain, Dropped, Landed
from slotzero.localnet.commitments import commitment_of
from slotzero.localnet.execution import AnyMessage, parse_transaction, writable_indexes
from slotzero.localnet.node import Method, Node
from slotzero.localnet.params import (
    INVALID_PARAMS,
    Params,
    RpcFault,
    TransactionEncoding,
    config_at,
    decode_wire_transaction,
    invalid,
    list_at,
    string_at,
)
from slotzero.localnet.render import err_sentence
from slotzero.localnet.rpc_cluster import with_context
from slotzero.localnet.slots import BLOCKHASH_WINDOW
from slotzero.solana.addresses import COMPUTE_BUDGET_PROGRAM, SYSTEM_PROGRAM
from slotzero.solana.tips import MAX_BUNDLE, MIN_TIP, TIP_ACCOUNTS, bundle_id
from slotzero.units import BlockHeight, Lamports, MonoNs, Slot

__all__ = ["BlockEngine", "BlockEngineStats", "bundle_methods", "single_methods"]

logger = logging.getLogger(__name__)

AUCTION_MS: Final = 50
MAX_PENDING: Final = 1_000
"""Bundles that wait for an auction; the next one is refused as Jito does when it is congested."""
MAX_PER_AUCTION: Final = 40
"""At some 0.5 ms each: the loop serves nobody else meanwhile. The others wait for the next auction."""
MAX_KEPT: Final = 20_000
"""Bundles whose fate is remembered; the oldest is forgotten first."""
LOOK_BACK_MS: Final = 300_000
"""How long getInflightBundleStatuses remembers a bundle."""
CONGESTED: Final = -32097
_MAX_STATUSES: Final = 5

_TRANSFER: Final = (2).to_bytes(4, "little")
_SET_UNIT_LIMIT: Final = 2
_DEFAULT_UNITS: Final = 200_000
_MAX_UNITS: Final = 1_400_000
_TIP_SET: Final = frozenset(TIP_ACCOUNTS)

State: TypeAlias = Literal["pending", "landed", "failed", "lost"]


class BundleConfig(Struct, frozen=True, kw_only=True):
    """The options of sendBundle and sendTransaction."""

    encoding: TransactionEncoding | None = None


class _Bundle:
    """A bundle and what has become of it."""

    __slots__ = ("accepted_at", "expires", "id", "raws", "signatures", "slot", "state", "tip", "units")

    def __init__(self, raws: list[bytes], transactions: list[VersionedTransaction]) -> None:
        messages = [transaction.message for transaction in transactions]
        self.raws = raws
        self.signatures = [str(transaction.signatures[0]) for transaction in transactions]
        self.id = bundle_id(self.signatures)
        self.tip = sum(_tip_of(message) for message in messages)
        self.units = sum(_units_of(message) for message in messages)
        self.state: State = "pending"
        self.slot: Slot | None = None
        self.accepted_at = MonoNs(0)
        self.expires = BlockHeight(0)


class BlockEngineStats(Struct, frozen=True, kw_only=True, rename="camel"):
    """Counters of the block engine.

    Attributes:
        accepted: Bundles taken.
        lost: Of them, those a fault made vanish.
        failed: By the kind of error; `TipTooLow` is ours.
        tips_lamports: What the landed ones have paid.
    """

    accepted: int
    pending: int
    landed: int
    lost: int
    failed: dict[str, int]
    tips_lamports: int
    auctions: int


class BlockEngine:
    """Takes bundles and lands them on a chain.

    Args:
        chain: Where they land.
        clock: For the auctions.
    """

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain = chain
        self._clock = clock
        self._is_immediate = chain.next_deadline is None
        self._epoch = clock.mono_ns()
        self._bundles: OrderedDict[str, _Bundle] = OrderedDict()
        self._pending: dict[str, _Bundle] = {}
        self._is_pending = asyncio.Event()
        self._accepted = 0
        self._landed = 0
        self._lost = 0
        self._failed: dict[str, int] = {}
        self._tips = 0
        self._auctions = 0
        self.newest = ""
        """The bundle taken last."""

    def stats(self) -> BlockEngineStats:
        """Return the counters."""
        return BlockEngineStats(
            accepted=self._accepted,
            pending=len(self._pending),
            landed=self._landed,
            lost=self._lost,
            failed=dict(self._failed),
            tips_lamports=self._tips,
            auctions=self._auctions,
        )

    def take(self, raws: list[bytes], node: Node) -> str:
        """Take a bundle and return its name, which promises nothing.

        Raises:
            RpcFault: It is malformed, names no tip account, has landed before, or there is no room.
        """
        if not 1 <= len(raws) <= MAX_BUNDLE:
            raise invalid(f"a bundle holds 1 to {MAX_BUNDLE} transactions, got {len(raws)}")
        try:
            transactions = [parse_transaction(raw) for raw in raws]
        except MalformedError as error:
            raise RpcFault(INVALID_PARAMS, str(error)) from error
        if not any(_locks_tip_account(transaction.message) for transaction in transactions):
            raise RpcFault(
                INVALID_PARAMS, "Bundles must write lock at least one tip account to be eligible for the auction."
            )
        bundle = _Bundle(raws, transactions)
        self.newest = bundle.id
        before = self._bundles.get(bundle.id)
        if before is not None and before.state in ("pending", "lost"):
            return bundle.id
        if any(self._chain.transaction(transaction.signatures[0]) for transaction in transactions):
            raise RpcFault(INVALID_PARAMS, "bundle contains an already processed transaction")
        if len(self._pending) >= MAX_PENDING:
            raise RpcFault(CONGESTED, "Network congested. Endpoint is globally rate limited.")
        self._accept(bundle, is_lost=node.faults.is_armed and node.faults.drops_send())
        return bundle.id

    def _accept(self, bundle: _Bundle, *, is_lost: bool) -> None:
        bundle.accepted_at = self._clock.mono_ns()
        bundle.expires = BlockHeight(self._chain.block.height + BLOCKHASH_WINDOW)
        self._bundles.pop(bundle.id, None)
        self._bundles[bundle.id] = bundle
        if len(self._bundles) > MAX_KEPT:
            self._pending.pop(self._bundles.popitem(last=False)[0], None)
        self._accepted += 1
        if is_lost:
            bundle.state = "lost"
            self._lost += 1
            return
        self._pending[bundle.id] = bundle
        self._is_pending.set()
        if self._is_immediate:
            self.hold_auction()

    async def run(self) -> None:
        """Hold the auctions, until cancelled. Sleeps while nothing waits."""
        span = ms(AUCTION_MS)
        while True:
            await self._is_pending.wait()
            passed = elapsed_ns(self._epoch, self._clock.mono_ns())
            await self._clock.sleep_until(later(self._epoch, (passed // span + 1) * span))
            self.hold_auction()

    def hold_auction(self) -> None:
        """Execute what waits, by tip for each requested unit; among equals whoever came first."""
        self._auctions += 1
        waiting = sorted(self._pending.values(), key=lambda bundle: -bundle.tip / bundle.units)
        for bundle in waiting[:MAX_PER_AUCTION]:
            del self._pending[bundle.id]
            self._execute(bundle)
        if not self._pending:
            self._is_pending.clear()

    def _execute(self, bundle: _Bundle) -> None:
        before = self._tip_balance()
        paid = 0

        def has_tipped() -> bool:
            nonlocal paid
            paid = self._tip_balance() - before
            return paid >= MIN_TIP

        try:
            outcome = self._chain.submit_bundle(bundle.raws, may_land=has_tipped)
        except MalformedError as error:
            self._fail(bundle, "Malformed", str(error))
            return
        match outcome:
            case BundleLanded(records=records):
                bundle.state, bundle.slot = "landed", records[0].slot
                self._landed += 1
                self._tips += paid
            case BundleFailed(err=None):
                self._fail(bundle, "TipTooLow", f"it tipped less than {MIN_TIP} lamports")
            case BundleFailed(err=err):
                assert err is not None
                self._fail(bundle, err if isinstance(err, str) else next(iter(err)), err_sentence(err))
        bundle.raws = []

    def _fail(self, bundle: _Bundle, kind: str, reason: str) -> None:
        bundle.state, bundle.raws = "failed", []
        self._failed[kind] = self._failed.get(kind, 0) + 1
        logger.debug("bundle %s failed: %s", bundle.id, reason)

    def _tip_balance(self) -> int:
        accounts = [self._chain.account(key) for key in TIP_ACCOUNTS]
        return sum(account.lamports for account in accounts if account is not None)

    # ---- what became of them ---------------------------------------------------------------------------------------

    def landed_row(self, name: str) -> dict[str, object] | None:
        """Return a landed bundle as getBundleStatuses shows it; None for any other."""
        bundle = self._bundles.get(name)
        if bundle is None or bundle.slot is None:
            return None
        return {
            "bundle_id": name,
            "transactions": bundle.signatures,
            "slot": bundle.slot,
            "confirmation_status": commitment_of(bundle.slot, self._chain.slot),
            "err": {"Ok": None},
        }

    def inflight_row(self, name: str) -> dict[str, object]:
        """Return what getInflightBundleStatuses says; a lost bundle is pending until nothing in it can land."""
        bundle = self._bundles.get(name)
        status, slot = "Invalid", None
        if bundle is not None and not is_due(later(bundle.accepted_at, ms(LOOK_BACK_MS)), self._clock.mono_ns()):
            is_expired = self._chain.block.height > bundle.expires
            shown = {
                "pending": "Pending",
                "landed": "Landed",
                "failed": "Failed",
                "lost": "Failed" if is_expired else "Pending",
            }
            status, slot = shown[bundle.state], bundle.slot
        return {"bundle_id": name, "status": status, "landed_slot": slot}


def bundle_methods(engine: BlockEngine) -> Mapping[str, Method]:
    """Return the methods about bundles, by name."""

    def send_bundle(node: Node, params: Params) -> object:
        texts = list_at(params, 0, "the transactions", most=MAX_BUNDLE)
        encoding = config_at(params, 1, BundleConfig).encoding
        return engine.take([_wire(text, encoding) for text in texts], node)

    def get_bundle_statuses(node: Node, params: Params) -> object:
        return with_context(node.chain.slot, [engine.landed_row(name) for name in _names(params)])

    def get_inflight_bundle_statuses(node: Node, params: Params) -> object:
        return with_context(node.chain.slot, [engine.inflight_row(name) for name in _names(params)])

    def get_tip_accounts(_node: Node, _params: Params) -> object:
        return [str(key) for key in TIP_ACCOUNTS]

    return {
        "sendBundle": send_bundle,
        "getBundleStatuses": get_bundle_statuses,
        "getInflightBundleStatuses": get_inflight_bundle_statuses,
        "getTipAccounts": get_tip_accounts,
    }


def single_methods(engine: BlockEngine, *, is_bundle: bool) -> Mapping[str, Method]:
    """Return sendTransaction, which skips the preflight.

    Args:
        engine: Takes it.
        is_bundle: As a bundle of one: it does not land when it would fail, and it must tip.
    """

    def send_transaction(node: Node, params: Params) -> object:
        raw = _wire(string_at(params, 0, "the transaction"), config_at(params, 1, BundleConfig).encoding)
        try:
            transaction = parse_transaction(raw)
            signature = str(transaction.signatures[0])
            if is_bundle:
                engine.take([raw], node)
                return signature
            if node.faults.is_armed and node.faults.drops_send():
                return signature
            outcome = node.chain.submit(raw)
        except MalformedError as error:
            raise RpcFault(INVALID_PARAMS, str(error)) from error
        assert isinstance(outcome, Landed | Dropped), "without a preflight nothing is refused"
        return signature

    return {"sendTransaction": send_transaction}


def _wire(text: object, encoding: TransactionEncoding | None) -> bytes:
    if not isinstance(text, str):
        raise invalid(f"a transaction must be a string, got {text!r}")
    return decode_wire_transaction(text, encoding)


def _names(params: Params) -> list[str]:
    names = list_at(params, 0, "the bundles", most=_MAX_STATUSES)
    if not all(isinstance(name, str) for name in names):
        raise invalid("a bundle's name must be a string")
    return [str(name) for name in names]


def _locks_tip_account(message: AnyMessage) -> bool:
    keys = message.account_keys
    return any(keys[index] in _TIP_SET for index in writable_indexes(message, len(keys)))


def _tip_of(message: AnyMessage) -> Lamports:
    """Return what the message's own transfers give to tip accounts."""
    keys = message.account_keys
    tip = 0
    for call in message.instructions:
        accounts, data = bytes(call.accounts), bytes(call.data)
        is_transfer = keys[call.program_id_index] == SYSTEM_PROGRAM and data[:4] == _TRANSFER and len(accounts) > 1
        if is_transfer and accounts[1] < len(keys) and keys[accounts[1]] in _TIP_SET:
            tip += int.from_bytes(data[4:12], "little")
    return Lamports(tip)


def _units_of(message: AnyMessage) -> int:
    """Return the compute units a message requests; 200,000 for each instruction when it does not say."""
    if isinstance(message, MessageV1):
        return message.config.compute_unit_limit or 1
    keys, others = message.account_keys, 0
    for call in message.instructions:
        data = bytes(call.data)
        if keys[call.program_id_index] != COMPUTE_BUDGET_PROGRAM:
            others += 1
        elif data[:1] == bytes([_SET_UNIT_LIMIT]):
            return max(1, int.from_bytes(data[1:5], "little"))
    return max(1, min(others * _DEFAULT_UNITS, _MAX_UNITS))
