"""The desk behind a paper node: takes transactions in, lets them land some slots later, in a fork of the chain.

What is real: the pool's state in the slot a transaction lands in, the program that executes it, its fee, the price
that has moved meanwhile, and that it fails where the program refuses it. What is a model, stated in `[paper]`: how many
slots it takes, how many sends are lost, how many fail for no fault of their own, the tip.

Where a program cannot be run here, fills follow the venue's published formulas instead (`quoted`), the result says so,
and nothing can be simulated: a check that wants to stays unsure.
"""

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from statistics import median_low
from typing import Final, Literal

from msgspec import Struct
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from slotzero.clock import Clock, as_ms
from slotzero.config import PaperSettings
from slotzero.errors import EndpointError, MalformedError
from slotzero.solana.reads import MAX_KEYS
from slotzero.solana.rpc import AccountInfo, Rpc, TokenBalance
from slotzero.trading.paper.book import PaperBook
from slotzero.trading.paper.fork import ForkRun, parse, program_data_key, program_elf
from slotzero.trading.paper.fork_runner import ForkRunner
from slotzero.trading.paper.impact import is_pool, token_holder
from slotzero.trading.paper.quoted import run_quoted
from slotzero.trading.paper.report import PaperFill, PaperLatency, PaperModel, PaperReport
from slotzero.units import BPS, DurationNs, Lamports, LamportsDelta, Slot

__all__ = ["MODEL_ERROR", "PaperDesk", "PaperListener"]

log = logging.getLogger(__name__)

MODEL_ERROR: Final = "FailedByPaperModel"
"""The error of a transaction that the model let fail: no cluster's."""

_MAX_FILLS: Final = 10_000
_ROUND_TRIPS: Final = 63
_NS_PER_S: Final = 1_000_000_000
_READ_AGAIN_MS: Final = 50


class PaperListener(Struct, frozen=True, kw_only=True):
    """Who is told: of an account that a fill has changed, and of a transaction that is confirmed."""

    on_account: Callable[[Pubkey, AccountInfo | None, Slot], None]
    on_confirmed: Callable[[str, Slot, object], None]


class _Pending(Struct, frozen=True, kw_only=True):
    """A transaction on its way."""

    signature: str
    transaction: VersionedTransaction
    sent_slot: Slot
    due: int


class PaperDesk:
    """Lets transactions land on paper. `run` does the work; the rest is synchronous.

    Args:
        upstream: Who is asked for real accounts.
        runner: Runs transactions in a fork.
        book: What paper trades have left behind.
        settings: The model.
        clock: What the fork takes for the time of day.
    """

    def __init__(
        self, upstream: Rpc, runner: ForkRunner, book: PaperBook, settings: PaperSettings, *, clock: Clock
    ) -> None:
        self._upstream = upstream
        self._runner = runner
        self._fork = runner.fork
        self.book = book
        self._settings = settings
        self._clock = clock
        self._rng = Random(settings.seed)  # noqa: S311 a model that can be repeated
        self._start = sum(book.balance(wallet) for wallet in book.wallets)
        self.slot = Slot(0)
        self._fills_by: Literal["fork", "quote"] = "fork"
        self._pending: dict[str, _Pending] = {}
        self._first_sent: OrderedDict[str, Slot] = OrderedDict()
        self._fills: OrderedDict[str, PaperFill] = OrderedDict()
        self._unconfirmed: list[PaperFill] = []
        self._is_due = asyncio.Event()
        self._listeners: list[PaperListener] = []
        self._round_trips: deque[DurationNs] = deque(maxlen=_ROUND_TRIPS)
        self._distances: deque[int] = deque(maxlen=_MAX_FILLS)
        self._sums: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def listen(self, listener: PaperListener) -> None:
        """Tell `listener` what happens from now on."""
        self._listeners.append(listener)

    # ---- what the bot does -----------------------------------------------------------------------------------------

    def submit(self, raw: bytes) -> str:
        """Take a transaction as a node takes it: nothing is promised. Returns its signature. Raises MalformedError."""
        transaction = parse(raw)
        signature = str(transaction.signatures[0])
        self._sums["sends"] += 1
        sent_slot = self._first_sent.setdefault(signature, self.slot)
        if len(self._first_sent) > _MAX_FILLS:
            self._first_sent.popitem(last=False)
        if signature in self._pending or signature in self._fills:
            return signature
        if self._draw() < self._settings.drop_bps:
            self._sums["dropped"] += 1
            return signature
        due = self.slot + self._settings.landing_slots
        self._pending[signature] = _Pending(signature=signature, transaction=transaction, sent_slot=sent_slot, due=due)
        if due <= self.slot:
            self._is_due.set()
        return signature

    def fill(self, signature: str) -> PaperFill | None:
        """Return what became of a transaction that has landed."""
        return self._fills.get(signature)

    async def simulate(self, raw: bytes, watch: Sequence[Pubkey]) -> tuple[ForkRun, list[AccountInfo | None]]:
        """Run a transaction on the state of now, signatures unchecked. Returns the run and `watch` after it.

        Raises:
            EndpointError: The accounts could not be read.
            MalformedError: It is no transaction, or a program cannot be run here.
        """
        transaction = parse(raw)
        real = await self._read([*transaction.message.account_keys, *watch])
        seen = self._seen(real)
        run = await self._run(transaction, seen, is_signed=False)
        return run, [run.post.get(key, seen.get(key)) for key in watch]

    # ---- what the chain does ---------------------------------------------------------------------------------------

    def on_slot(self, slot: Slot) -> None:
        """Take a slot that has opened: what is due lands in it, what has landed before it is confirmed."""
        if slot <= self.slot:
            return
        self.slot = slot
        confirmed = [fill for fill in self._unconfirmed if fill.slot < slot]
        self._unconfirmed = [fill for fill in self._unconfirmed if fill.slot >= slot]
        for fill in confirmed:
            for listener in self._listeners:
                listener.on_confirmed(fill.signature, fill.slot, fill.err)
        if any(pending.due <= slot for pending in self._pending.values()):
            self._is_due.set()

    def on_round_trip(self, took: DurationNs) -> None:
        """Take note of how long a call to the endpoint has taken."""
        self._round_trips.append(took)

    @property
    def round_trip_ns(self) -> DurationNs:
        """How long a call takes: the median of the newest."""
        return median_low(self._round_trips) if self._round_trips else DurationNs(0)

    async def warm(self, programs: Iterable[Pubkey]) -> None:
        """Clone programs beforehand, so that the first trade does not wait for them. *Does I/O.*

        Raises:
            EndpointError: They could not be read.
            MalformedError: The endpoint answered with something else.
        """
        await self._read(list(programs))

    async def run(self) -> None:
        """Let land what is due, until cancelled. *Does I/O.*"""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            due = [pending for pending in self._pending.values() if pending.due <= self.slot]
            if due:
                await self._land(due)

    async def _land(self, due: list[_Pending]) -> None:
        keys = [key for pending in due for key in pending.transaction.message.account_keys]
        try:
            real = await self._read(keys)
        except EndpointError as error:
            log.warning("%d paper transactions land later, their accounts were not read: %s", len(due), error)
            return  # with the next slot
        except MalformedError as error:
            self._lose(due, error)
            return
        for pending in due:
            named = pending.transaction.message.account_keys
            try:
                await self._fill(pending, {key: real[key] for key in named if key in real})
            except MalformedError as error:
                self._lose([pending], error)
            else:
                del self._pending[pending.signature]

    def _lose(self, some: list[_Pending], error: MalformedError) -> None:
        """Give up transactions that cannot be run here: to the bot they are sends that were lost."""
        log.warning("%d paper transactions cannot be run here, they are lost: %s", len(some), error)
        self._sums["dropped"] += len(some)
        for pending in some:
            del self._pending[pending.signature]

    async def _fill(self, pending: _Pending, real: Mapping[Pubkey, AccountInfo | None]) -> None:
        transaction, book = pending.transaction, self.book
        payer = transaction.message.account_keys[0]
        before, deposits = book.balance(payer), book.deposits()
        seen = self._seen(real)
        run = await self._run(transaction, seen, is_signed=True)
        err: object = run.err
        failed_by: Literal["chain", "model"] | None = None if err is None else "chain"
        if self._draw() < self._settings.failure_bps and err is None:
            err, failed_by = MODEL_ERROR, "model"
        tip = Lamports(0)
        if err is None:
            changed = book.apply(seen, run.post, real)
            fee = run.fee
            tip = book.charge(payer, self._settings.tip_lamports)
        else:
            fee = book.charge(payer, run.fee)
            changed = [payer]
        fill = PaperFill(
            signature=pending.signature,
            sent_slot=pending.sent_slot,
            slot=self.slot,
            err=err,
            failed_by=failed_by,
            fee=fee,
            tip=tip,
            before=before,
            after=book.balance(payer),
            deposit=LamportsDelta(book.deposits() - deposits),
            units=run.units,
            token_balances=self._balances(payer, transaction.message.account_keys),
        )
        self._note(fill)
        for key in changed:
            written = run.post.get(key)
            self._tell(key, written if is_pool(written) else book.view(key, None))

    def _note(self, fill: PaperFill) -> None:
        self._fills[fill.signature] = fill
        if len(self._fills) > _MAX_FILLS:
            self._fills.popitem(last=False)
        self._unconfirmed.append(fill)
        self._distances.append(fill.slot - fill.sent_slot)
        self._sums["free"] += fill.free_lamports
        if fill.failed_by is None:
            self._sums["landed"] += 1
            self._sums["fees"] += fill.fee
            self._sums["tips"] += fill.tip
        else:
            self._failed[fill.failed_by] += 1
            self._sums["failed_fees"] += fill.fee

    def _tell(self, key: Pubkey, account: AccountInfo | None) -> None:
        for listener in self._listeners:
            listener.on_account(key, account, self.slot)

    def _draw(self) -> int:
        return self._rng.randrange(BPS)

    # ---- reading and running ---------------------------------------------------------------------------------------

    async def _read(self, keys: Sequence[Pubkey]) -> dict[Pubkey, AccountInfo | None]:
        """Read real accounts; clone what programs are among them. What the VM has and wallets are not asked for."""
        wanted = [
            key for key in dict.fromkeys(keys) if key not in self.book.wallets and not self._fork.has_program(key)
        ]
        found: dict[Pubkey, AccountInfo | None] = {}
        for first in range(0, len(wanted), MAX_KEYS):
            some = wanted[first : first + MAX_KEYS]
            accounts = await self._upstream.get_multiple_accounts(some, "processed", purpose="account")
            found.update(zip(some, accounts, strict=True))
        for key, account in found.items():
            if account is not None and account.executable and self._fills_by == "fork":
                await self._clone(key, account)
        return found

    async def _clone(self, key: Pubkey, program: AccountInfo) -> None:
        data_key, data = program_data_key(program), None
        if data_key is not None:
            (data,) = await self._upstream.get_multiple_accounts([data_key], "processed", purpose="account")
        try:
            self._fork.add_program(key, program_elf(program, data))
        except MalformedError as error:
            self._fills_by = "quote"
            log.warning("%s cannot be run here, fills follow its published formulas: %s", key, error)

    def _seen(self, real: Mapping[Pubkey, AccountInfo | None]) -> dict[Pubkey, AccountInfo | None]:
        seen = {key: self.book.view(key, account) for key, account in real.items()}
        return seen | {wallet: self.book.view(wallet, None) for wallet in self.book.wallets}

    async def _run(
        self, transaction: VersionedTransaction, seen: Mapping[Pubkey, AccountInfo | None], *, is_signed: bool
    ) -> ForkRun:
        if self._fills_by == "quote":
            if not is_signed:
                raise MalformedError("the venue's program cannot be run here, so nothing can be simulated")
            return run_quoted(transaction, seen, rent=self._fork.rent)
        unix_s = self._clock.wall_ns() // _NS_PER_S
        return await self._runner.run(transaction, seen, slot=self.slot, unix_s=unix_s, is_signed=is_signed)

    def _balances(self, wallet: Pubkey, keys: Sequence[Pubkey]) -> tuple[TokenBalance, ...]:
        rows = []
        for key in keys:
            account = self.book.view(key, None)
            if account is not None and token_holder(account) == wallet:
                mint = Pubkey.from_bytes(account.data[:32])
                amount = int.from_bytes(account.data[64:72], "little")
                rows.append(TokenBalance(owner=str(wallet), mint=str(mint), amount=amount))
        return tuple(rows)

    # ---- looking inside --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End what runs beside this process."""
        self._runner.close()

    def report(self, forwarded: Mapping[str, int], *, slippage_lamports: int) -> PaperReport:
        """Return what was done and charged so far.

        Args:
            forwarded: What the cluster was asked, by method.
            slippage_lamports: How much worse the fills were than what was quoted.
        """
        sums, settings = self._sums, self._settings
        now = sum(self.book.balance(wallet) for wallet in self.book.wallets)
        return PaperReport(
            fills=self._fills_by,
            runs_in="process" if self._runner.is_away else "loop",
            run_ms=None if self._runner.median_ns is None else as_ms(self._runner.median_ns),
            model=PaperModel(
                landing_slots=settings.landing_slots,
                drop_bps=settings.drop_bps,
                failure_bps=settings.failure_bps,
                tip_lamports=settings.tip_lamports,
                seed=settings.seed,
            ),
            latency=PaperLatency(
                round_trip_ms=as_ms(self.round_trip_ns) if self._round_trips else None,
                slots_p50=median_low(self._distances) if self._distances else None,
                slots_max=max(self._distances, default=None),
            ),
            sends=sums["sends"],
            dropped=sums["dropped"],
            landed=sums["landed"],
            failed=dict(self._failed),
            free_lamports=sums["free"],
            fees_lamports=sums["fees"],
            tips_lamports=sums["tips"],
            failed_lamports=sums["failed_fees"],
            net_lamports=now - self._start,
            slippage_lamports=slippage_lamports,
            transactions_sent=forwarded.get("sendTransaction", 0),
            forwarded=dict(forwarded),
        )
