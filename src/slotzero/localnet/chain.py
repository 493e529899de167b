"""The embedded chain: one VM, slots, blockhashes, commitments, history. Single-threaded and synchronous.

Whoever calls owns the time: there is no task in here. The slot deadline is looked at in every call (`catch_up`), so
slots do not lag when a timer is starved; with a timer alone they came up to 2.6 s late on a saturated machine.

Every state of a *submitted* transaction is a returned record: `Landed` (executed, perhaps failed, fee paid),
`Refused` (its preflight failed, nothing has changed) or `Dropped` (it can never land and nobody is told, as on a real
cluster). When many arrive at once, they can be executed one after the other first (`execute`), and what follows from
it (records, indexes, listeners) done for all of them afterwards (`settle`), as a leader commits what it has executed in
batches. One VM execution serves preflight and landing: the preflight *is* the execution, and when it fails the fee
payer, the only account a failed transaction touches, is put back (206 us for each transaction of a buy-and-sell mix
instead of 388). The preflight therefore sees the processed state, whichever commitment was asked for.

What can be looked up other than by key (transactions by address, token accounts by owner and by mint, prices by
locked account) is indexed as it is written: no reader scans accounts. All of it takes some 20 us for each transaction.
"""

import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct
from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from slotzero.clock import Clock, SystemClock, ms
from slotzero.errors import MalformedError, UsageError
from slotzero.localnet import genesis
from slotzero.localnet.admission import Admission
from slotzero.localnet.commitments import Commitment, UndoLog, slot_at
from slotzero.localnet.endpoints import DEFAULT_SLOT_MS
from slotzero.localnet.events import AccountSet, AccountWrite, ChainEvent, Listener, SlotOpened, TransactionExecuted
from slotzero.localnet.execution import (
    AccountKeys,
    AnyMessage,
    account_keys,
    parse_transaction,
    token_balances,
    token_rows,
    unit_price,
    version_of,
)
from slotzero.localnet.genesis import Genesis
from slotzero.localnet.history import DEFAULT_HISTORY, History, TokenBalance, TransactionRecord
from slotzero.localnet.outcomes import (
    BundleFailed,
    BundleLanded,
    Dropped,
    Executed,
    Landed,
    Refused,
    Simulation,
    Submission,
)
from slotzero.localnet.price_log import PriceLog
from slotzero.localnet.slots import Block, BlockLog, Lateness, SlotSchedule, genesis_hash
from slotzero.localnet.token_index import TokenIndex
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.svm import SLOTS_PER_EPOCH, Execution, Svm, TransactionErr
from slotzero.units import DurationNs, Lamports, MicroLamportsPerCu, MonoNs, Slot

__all__ = [
    "BundleFailed",
    "BundleLanded",
    "Chain",
    "ChainConfig",
    "ChainStats",
    "Dropped",
    "Landed",
    "Refused",
    "Simulation",
    "Submission",
    "TokenHolding",
]

PER_TRANSACTION: Final = 0
"""The value of `slot_ms` that opens a slot after each transaction instead of on a timer."""

_GENESIS_UNIX_S: Final = 1_790_000_000
_NS_PER_S: Final = 1_000_000_000
_MS_PER_S: Final = 1000
_AIRDROP_UNITS: Final = 1_000
_AIRDROPS_PER_BLOCKHASH: Final = 1_000_000


class ChainConfig(Struct, frozen=True, kw_only=True):
    """How a chain runs.

    Attributes:
        seed: What the genesis accounts (and, with `slot_ms` 0, the genesis hash) are derived from.
        slot_ms: The length of a slot; 0 opens one after each transaction and makes everything deterministic, the
            clock of the chain included (200 ms for each slot).
        history: How many transactions are kept.
    """

    seed: int = 7
    slot_ms: int = DEFAULT_SLOT_MS
    history: int = DEFAULT_HISTORY


class TokenHolding(Struct, frozen=True, kw_only=True):
    """A token account as of some commitment; `balance` is what its data say."""

    key: Pubkey
    account: Account
    balance: TokenBalance


class ChainStats(Struct, frozen=True, kw_only=True):
    """What the chain has done since its genesis.

    Attributes:
        landed: Executed transactions, failed ones included.
        dropped: Transactions that could not land, by error.
        executions: Runs of the VM: submissions that reached it, and simulations.
        vm_ns: How long they took, signature checks included.
        addresses: How many the kept transactions mention.
        token_accounts: How many exist.
        removed: Accounts taken off by `Chain.remove_accounts`.
    """

    slot: Slot
    landed: int
    failed: int
    refused: int
    dropped: dict[str, int]
    simulated: int
    executions: int
    vm_ns: DurationNs
    history: int
    evicted: int
    addresses: int
    token_accounts: int
    removed: int
    lateness: Lateness | None


class _Run(Struct, frozen=True, kw_only=True, gc=False):
    """A transaction the VM has executed, and what its accounts were before."""

    transaction: VersionedTransaction
    message: AnyMessage
    raw: bytes
    keys: AccountKeys
    before: list[Account | None]
    execution: Execution
    mono_ns: MonoNs


class _Effects(Struct, frozen=True, kw_only=True, gc=False):
    """What a transaction left behind: the accounts it wrote, by index, and all of them afterwards."""

    written: tuple[int, ...]
    after: list[Account | None]


class Chain:
    """A chain around one VM.

    Args:
        config: How it runs.
        clock: Where it takes monotonic instants and wall-clock time from.
        entropy: What makes two chains of one seed differ in name; None draws it, and draws none when `slot_ms` is 0.
        install: Writes the genesis accounts into the VM and returns who is who.
    """

    def __init__(
        self,
        config: ChainConfig | None = None,
        *,
        clock: Clock | None = None,
        entropy: bytes | None = None,
        install: Callable[[Svm, int], Genesis] = genesis.install,
    ) -> None:
        self.config = config or ChainConfig()
        self._clock = clock or SystemClock()
        self._is_timed = self.config.slot_ms != PER_TRANSACTION
        self._genesis_unix_s = self._clock.wall_ns() // _NS_PER_S if self._is_timed else _GENESIS_UNIX_S
        if entropy is None:
            # A bot keys its journal by the genesis hash: a new chain must not look like the one before it.
            entropy = secrets.token_bytes(16) if self._is_timed else b""

        self.svm = Svm()
        self.svm.set_clock(Slot(0), self._genesis_unix_s, self._genesis_unix_s)
        self.genesis = install(self.svm, self.config.seed)
        self._fixed = genesis.fixed_keys(self.genesis)
        self._blocks = BlockLog(genesis_hash(self.config.seed, entropy), self._genesis_unix_s)
        self._undo = UndoLog()
        self._history = History(self.config.history)
        self._admission = Admission(self.svm, self._blocks, self._undo, self.settle)
        self._prices = PriceLog()
        self._tokens = TokenIndex()
        for program in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
            for key, account in self.svm.program_accounts(program):
                self._index_token_accounts([key], (), token_balances([account]))
        self._listeners: list[Listener] = []
        self._is_telling = False
        self._unsettled: deque[tuple[_Run, _Effects]] = deque()
        self._epoch_start_unix_s = self._genesis_unix_s
        self._index = 0
        self._airdrops = 0
        self._removed = 0
        self._landed = 0
        self._failed = 0
        self._refused = 0
        self._simulated = 0
        self._dropped: Counter[str] = Counter()
        self._schedule = SlotSchedule(ms(self.config.slot_ms), self._clock.mono_ns()) if self._is_timed else None
        self._open_slot()

    # Time -------------------------------------------------------------------------------------------------------

    @property
    def slot(self) -> Slot:
        """The open slot."""
        return self._blocks.newest.slot

    @property
    def block(self) -> Block:
        """The open slot's block; its blockhash may be used already."""
        return self._blocks.newest

    @property
    def oldest_block(self) -> Block:
        """The oldest block that can be asked for."""
        return self._blocks.oldest

    def block_of(self, slot: Slot) -> Block | None:
        """Return the block of `slot`, None when there is none yet or it is too old."""
        return self._blocks.find(slot)

    @property
    def genesis_hash(self) -> Hash:
        """The chain's name."""
        return self._blocks.genesis

    @property
    def transaction_count(self) -> int:
        """How many transactions have been executed."""
        return self._landed

    @property
    def faucet(self) -> Pubkey:
        """The account that airdrops come from."""
        return self.genesis.faucet.pubkey()

    @property
    def next_deadline(self) -> MonoNs | None:
        """When the next slot is due; None when slots follow transactions."""
        return None if self._schedule is None else self._schedule.deadline

    def catch_up(self) -> None:
        """Settle what has been executed, and open the slots that are due. Called at the start of every request.

        *Hot path* (0.1 us).
        """
        self.settle()
        self._open_due_slots()

    def advance(self, slots: int = 1) -> None:
        """Open `slots` slots now, whatever the timer says (about 0.2 ms each, most of it the sysvars)."""
        self.settle()
        for _ in range(slots):
            self._open_slot()

    def block_at(self, commitment: Commitment) -> Block:
        """Return the newest block that has `commitment`."""
        return self._blocks.at(slot_at(commitment, self.slot))

    def is_blockhash_valid(self, blockhash: Hash, commitment: Commitment = "processed") -> bool:
        """Tell whether `blockhash` was acceptable as of the newest block that has `commitment`."""
        return self._blocks.is_known_at(blockhash, self.block_at(commitment).slot)

    # Reading ----------------------------------------------------------------------------------------------------

    def account(self, key: Pubkey, commitment: Commitment = "processed") -> Account | None:
        """Return an account as of `commitment`, or None (0.2 us; up to 3 us below processed)."""
        current = self.svm.get_account(key)
        if commitment == "processed":
            return current
        return self._undo.account_at(key, slot_at(commitment, self.slot), current)

    def transaction(self, signature: Signature) -> TransactionRecord | None:
        """Return what the history holds of `signature`."""
        return self._history.get(signature)

    def transactions_mentioning(
        self,
        key: Pubkey,
        *,
        commitment: Commitment,
        limit: int,
        before: TransactionRecord | None = None,
        until: TransactionRecord | None = None,
    ) -> list[TransactionRecord]:
        """Return the newest transactions that mention `key`, newest first, strictly between two others if given."""
        up_to = slot_at(commitment, self.slot)
        return self._history.mentioning(key, up_to=up_to, limit=limit, before=before, until=until)

    def token_accounts_of(self, owner: Pubkey, commitment: Commitment = "processed") -> list[TokenHolding]:
        """Return the token accounts of `owner` as of `commitment`, in no order (5 us each)."""
        holdings = self._holdings(self._tokens.of_owner(owner), commitment)
        return [holding for holding in holdings if holding.balance.owner == owner]

    def token_accounts_holding(self, mint: Pubkey, commitment: Commitment = "processed") -> list[TokenHolding]:
        """Return the token accounts for `mint` as of `commitment`, in no order (5 us each)."""
        holdings = self._holdings(self._tokens.of_mint(mint), commitment)
        return [holding for holding in holdings if holding.balance.mint == mint]

    def lowest_prices(self, keys: Sequence[Pubkey]) -> list[tuple[Slot, MicroLamportsPerCu]]:
        """Return the lowest price at which a transaction locked all `keys`, for each of the last 150 ended slots."""
        return self._prices.lowest(keys)

    def stats(self) -> ChainStats:
        """Return the counters."""
        return ChainStats(
            slot=self.slot,
            landed=self._landed,
            failed=self._failed,
            refused=self._refused,
            dropped=dict(self._dropped),
            simulated=self._simulated,
            executions=self.svm.executions,
            vm_ns=self.svm.busy_ns,
            history=len(self._history),
            evicted=self._history.evicted,
            addresses=self._history.addresses,
            token_accounts=len(self._tokens),
            removed=self._removed,
            lateness=None if self._schedule is None else self._schedule.lateness(),
        )

    def add_listener(self, listener: Listener) -> None:
        """Have `listener` called for every event from now on. Kept for the chain's life."""
        self._listeners.append(listener)

    # Writing ----------------------------------------------------------------------------------------------------

    def submit(self, raw: bytes, *, preflight: bool = False) -> Submission:
        """Execute a transaction's bytes in the open slot. *Hot path.*

        Args:
            raw: The bytes on the wire, at most 1232 (version 1: 4096).
            preflight: Whether a failure leaves no trace and is told; otherwise it lands and pays its fee.

        Raises:
            MalformedError: The bytes are no transaction, or a lookup table lacks what it asks for.
        """
        self.catch_up()
        begun = self._begin(raw, preflight=preflight)
        if not isinstance(begun, tuple):
            return begun
        record = self._land(*begun)
        if not self._is_timed:
            self._open_slot()
        return Landed(record=record)

    def execute(self, raw: bytes, *, preflight: bool = False) -> Executed | Refused | Dropped:
        """Do as `submit`, but leave to the next `settle` what follows from the execution. *Hot path.*

        Until then the accounts are what it left behind, but no history knows of it and nobody has been told. Whoever
        looks anything else up calls `catch_up` first, as ever.

        Args:
            raw: As for `submit`.
            preflight: As for `submit`.

        Raises:
            MalformedError: As for `submit`.
        """
        self._open_due_slots()
        begun = self._begin(raw, preflight=preflight)
        if not isinstance(begun, tuple):
            return begun
        self._unsettled.append(begun)
        if not self._is_timed:
            self.advance()
        return Executed(signature=begun[0].transaction.signatures[0])

    def settle(self) -> None:
        """Make what has been executed part of the open slot, in its order, and tell it."""
        while self._unsettled and not self._is_telling:
            self.settle_next()

    def settle_next(self) -> None:
        """Do as `settle` for the oldest of them, if there is one. *Hot path.*"""
        if self._unsettled:
            self._land(*self._unsettled.popleft())

    def submit_transaction(self, transaction: VersionedTransaction, *, preflight: bool = False) -> Submission:
        """Do as `submit` for a caller in this process that holds the transaction itself."""
        return self.submit(bytes(transaction), preflight=preflight)

    def submit_bundle(
        self, raws: Sequence[bytes], *, may_land: Callable[[], bool] = lambda: True
    ) -> BundleLanded | BundleFailed:
        """Execute transactions in the open slot, in order and without others between them: all of them or none.

        Unless every one succeeds nothing has happened, not even a fee was paid, and nobody is told of it.

        Args:
            raws: The transactions' bytes.
            may_land: Asked when all have succeeded and the state is what they left; False takes them back.

        Raises:
            MalformedError: The bytes of one are no transaction, or a lookup table lacks what it asks for.
        """
        self.catch_up()
        assert not self._is_telling, "a listener may not write the chain"
        runs: list[_Run] = []
        effects: list[_Effects] = []
        try:
            failure = self._run_bundle(raws, runs, effects)
        except MalformedError:
            self._take_back(runs)
            raise
        if failure is not None or not may_land():
            self._take_back(runs)
            return BundleFailed(index=failure and failure[0], err=failure and failure[1])
        for run in runs:
            self._admission.remember(run.transaction.signatures[0])
        records = tuple(self._land(run, effect) for run, effect in zip(runs, effects, strict=True))
        if not self._is_timed:
            self._open_slot()
        return BundleLanded(records=records)

    def airdrop(self, to: Pubkey, lamports: Lamports) -> Submission:
        """Send lamports from the faucet by a real transfer; any amount the faucet holds."""
        self.catch_up()
        # Equal airdrops in one slot would be one signature: the unit limit, which costs nothing at price 0, counts.
        self._airdrops = (self._airdrops + 1) % _AIRDROPS_PER_BLOCKHASH
        message = MessageV0.try_compile(
            self.faucet,
            [
                set_compute_unit_limit(_AIRDROP_UNITS + self._airdrops),
                transfer(TransferParams(from_pubkey=self.faucet, to_pubkey=to, lamports=lamports)),
            ],
            [],
            self.block.blockhash,
        )
        return self.submit_transaction(VersionedTransaction(message, [self.genesis.faucet]), preflight=True)

    def set_account(self, key: Pubkey, account: Account | None) -> None:
        """Write an account past all rules; None or no lamports deletes it. Noted for commitments, and told.

        Raises:
            MalformedError: The data is not what the address or the owner demands (a sysvar, a program).
        """
        self.catch_up()
        before = self.svm.get_account(key)
        self.svm.set_account(key, account)
        after = self.svm.get_account(key)
        self._undo.note(key, before)
        self._index_token_accounts([key], token_balances([before]), token_balances([after]))
        write = AccountWrite(key=key, account=after)
        self._tell(AccountSet(slot=self.slot, write=write, mono_ns=self._clock.mono_ns()))

    def remove_accounts(self, keys: Iterable[Pubkey]) -> int:
        """Delete accounts as `set_account` does, all of them or none. Returns how many there were (about 12 us each).

        Raises:
            UsageError: One is what the chain itself needs: a program, a sysvar, an account of the genesis.
        """
        self.catch_up()
        found = {key: account for key in keys if (account := self.svm.get_account(key)) is not None}
        for key, account in found.items():
            if account.executable or account.owner in genesis.CLUSTER_OWNERS or key in self._fixed:
                raise UsageError(f"{key} cannot be removed: it is a program, a sysvar or an account of the genesis")
        for key in found:
            self.set_account(key, None)
        self._removed += len(found)
        return len(found)

    def simulate(
        self,
        transaction: VersionedTransaction,
        *,
        commitment: Commitment = "processed",
        verify_signatures: bool = False,
        check_blockhash: bool = True,
    ) -> Simulation:
        """Run a transaction on the state of `commitment` and keep nothing.

        Raises:
            MalformedError: A lookup table lacks what the transaction asks for.
        """
        self.catch_up()
        self._simulated += 1
        keys = account_keys(transaction.message, self.svm.get_account)
        before = [self.account(key, commitment) for key in keys.keys]
        signature, message = transaction.signatures[0], transaction.message
        slot = slot_at(commitment, self.slot)
        err = self._admission.objection(signature, message, slot) if check_blockhash else None
        execution = None
        if err is None:
            with self.svm.overlay() as overlay:
                if commitment != "processed":
                    for key, account in zip(keys.keys, before, strict=True):
                        if account != self.svm.get_account(key):
                            overlay.set_account(key, account)
                execution = self.svm.simulate(transaction, verify_signatures=verify_signatures)
            err = execution.err
        accounts = dict(execution.post_accounts) if execution is not None else {}
        after = [accounts.get(key, account) for key, account in zip(keys.keys, before, strict=True)]
        post_balances = list(_lamports(after))
        if execution is not None and err is not None and post_balances[0] >= execution.fee:
            post_balances[0] -= execution.fee
        return Simulation(
            err=err,
            execution=execution,
            keys=keys,
            pre_balances=_lamports(before),
            post_balances=tuple(post_balances),
            pre_token_balances=token_balances(before),
            post_token_balances=token_balances(after),
            accounts=accounts,
        )

    # Inside -----------------------------------------------------------------------------------------------------

    def _open_due_slots(self) -> None:
        if self._schedule is not None and (due := self._schedule.take_due(self._clock.mono_ns())):
            self.advance(due)

    def _begin(self, raw: bytes, *, preflight: bool) -> tuple[_Run, _Effects] | Refused | Dropped:
        """Execute a transaction, or tell why it cannot land. What was executed is to be landed."""
        assert not self._is_telling, "a listener may not write the chain"
        transaction = parse_transaction(raw)
        signature, message = transaction.signatures[0], transaction.message  # each access copies
        err = self._admission.objection(signature, message, self.slot)
        if err is not None:
            return self._reject(signature, err, None, preflight=preflight)
        run = self._run(transaction, message, raw)
        execution = run.execution
        written = run.keys.writable
        if execution.err is not None:
            written = self._book_failure(message, run.keys.keys, run.before[0], preflight=preflight)
            if not written:
                return self._reject(signature, execution.err, execution, preflight=preflight)
        self._admission.remember(signature)
        return run, self._look_again(run, written)

    def _run(self, transaction: VersionedTransaction, message: AnyMessage, raw: bytes) -> _Run:
        """Execute an admitted transaction; the VM is changed, the chain does not know yet."""
        read = self.svm.get_account
        keys = account_keys(message, read)
        before = [read(key) for key in keys.keys]
        execution = self.svm.execute(transaction)
        return _Run(
            transaction=transaction,
            message=message,
            raw=raw,
            keys=keys,
            before=before,
            execution=execution,
            mono_ns=self._clock.mono_ns(),
        )

    def _look_again(self, run: _Run, written: tuple[int, ...]) -> _Effects:
        """Return what a transaction has left in the accounts it wrote."""
        # Only what may have changed is looked at again: after half a millisecond in the VM every look is a cache miss.
        after = list(run.before)
        for index in written:
            after[index] = self.svm.get_account(run.keys.keys[index])
        return _Effects(written=written, after=after)

    def _land(self, run: _Run, effects: _Effects) -> TransactionRecord:
        """Make an executed transaction part of the open slot, and tell it."""
        transaction, keys, execution = run.transaction, run.keys, run.execution
        pre_token_balances = token_balances(run.before)
        post_token_balances = (
            *(row for row in pre_token_balances if row.account_index not in effects.written),
            *token_rows((index, effects.after[index]) for index in effects.written),
        )
        record = TransactionRecord(
            signature=transaction.signatures[0],
            number=self._landed,
            slot=self.slot,
            index=self._index,
            raw=run.raw,
            version=version_of(transaction),
            err=execution.err,
            fee=execution.fee,
            units_consumed=execution.units_consumed,
            metadata=execution.metadata,
            loaded_writable=keys.loaded_writable,
            loaded_readonly=keys.loaded_readonly,
            pre_balances=_lamports(run.before),
            post_balances=_lamports(effects.after),
            pre_token_balances=pre_token_balances,
            post_token_balances=post_token_balances,
            unix_timestamp=self.block.unix_timestamp,
            mono_ns=run.mono_ns,
        )
        self._keep(record, keys, run.message)
        writes: list[AccountWrite] = []
        for index in effects.written:
            key = keys.keys[index]
            self._undo.note(key, run.before[index])
            writes.append(AccountWrite(key=key, account=effects.after[index]))
        self._tell(TransactionExecuted(record=record, account_keys=keys.keys, written=tuple(writes)))
        return record

    def _run_bundle(
        self, raws: Sequence[bytes], runs: list[_Run], effects: list[_Effects]
    ) -> tuple[int, TransactionErr] | None:
        """Execute transactions in order, each seeing what those before it did, up to the first that fails."""
        seen: set[Signature] = set()
        for index, raw in enumerate(raws):
            transaction = parse_transaction(raw)
            signature, message = transaction.signatures[0], transaction.message
            err = self._admission.objection(signature, message, self.slot)
            if err is None and signature in seen:
                err = "AlreadyProcessed"
            if err is not None:
                return index, err
            seen.add(signature)
            run = self._run(transaction, message, raw)
            runs.append(run)
            if run.execution.err is not None:
                return index, run.execution.err
            effects.append(self._look_again(run, run.keys.writable))
        return None

    def _take_back(self, runs: Sequence[_Run]) -> None:
        """Put every account that executed transactions may have written back to what it was before the first."""
        for run in reversed(runs):
            for index in run.keys.writable:  # of a failed one too: its payer is always among them
                key, before = run.keys.keys[index], run.before[index]
                if self.svm.get_account(key) != before:
                    self.svm.set_account(key, before)

    def _book_failure(
        self, message: AnyMessage, keys: Sequence[Pubkey], payer_before: Account | None, *, preflight: bool
    ) -> tuple[int, ...]:
        """Leave behind what a failed transaction leaves; return what it wrote, nothing when it does not land."""
        payer = self.svm.get_account(keys[0])
        # LiteSVM names a fee even where nothing was charged (no payer, no program): the balance tells.
        is_charged = payer_before is not None and (payer is None or payer.lamports < payer_before.lamports)
        if preflight and is_charged:
            self.svm.set_account(keys[0], payer_before)
        if preflight or not is_charged:
            return ()
        nonce = self._admission.advance_nonce(message, keys)
        return (0,) if nonce is None or nonce == 0 else (0, nonce)

    def _reject(
        self, signature: Signature, err: TransactionErr, execution: Execution | None, *, preflight: bool
    ) -> Refused | Dropped:
        if preflight:
            self._refused += 1
            return Refused(signature=signature, err=err, execution=execution)
        self._dropped[err if isinstance(err, str) else next(iter(err))] += 1
        return Dropped(signature=signature, err=err)

    def _keep(self, record: TransactionRecord, keys: AccountKeys, message: AnyMessage) -> None:
        self._history.add(record, keys.keys)
        self._prices.add(unit_price(message, keys.keys), [keys.keys[index] for index in keys.writable])
        self._index_token_accounts(keys.keys, record.pre_token_balances, record.post_token_balances)
        self._index += 1
        self._landed += 1
        if record.err is not None:
            self._failed += 1

    def _index_token_accounts(
        self, keys: Sequence[Pubkey], before: Iterable[TokenBalance], after: Iterable[TokenBalance]
    ) -> None:
        ended = {row.account_index for row in before}
        for row in after:
            ended.discard(row.account_index)
            self._tokens.note(keys[row.account_index], row.mint, row.owner)
        for index in ended:
            self._tokens.drop(keys[index])

    def _holdings(self, keys: Iterable[Pubkey], commitment: Commitment) -> Iterator[TokenHolding]:
        for key in keys:
            account = self.account(key, commitment)
            for balance in token_balances([account]):
                assert account is not None
                yield TokenHolding(key=key, account=account, balance=balance)

    def _open_slot(self) -> None:
        block = self._blocks.open_block(self._unix_timestamp(self._blocks.newest.slot + 1))
        if block.slot % SLOTS_PER_EPOCH == 0:
            self._epoch_start_unix_s = block.unix_timestamp
        self.svm.set_clock(block.slot, block.unix_timestamp, self._epoch_start_unix_s)
        # Programs that ask "is this slot recent?" (creating a lookup table) look here.
        self.svm.set_slot_hashes(self._blocks.slot_hashes())
        self._undo.open_slot(block.slot)
        self._admission.open_slot()
        self._prices.open_slot(block.slot)
        self._tokens.open_slot(block.slot)
        self._index = 0
        root = slot_at("finalized", block.slot)
        self._tell(SlotOpened(slot=block.slot, parent=block.parent, root=root, mono_ns=self._clock.mono_ns()))

    def _unix_timestamp(self, slot: int) -> int:
        if self._is_timed:
            return self._clock.wall_ns() // _NS_PER_S
        return self._genesis_unix_s + slot * DEFAULT_SLOT_MS // _MS_PER_S

    def _tell(self, event: ChainEvent) -> None:
        assert not self._is_telling, "a listener may not write the chain"
        self._is_telling = True
        try:
            for listener in self._listeners:
                listener(event)
        finally:
            self._is_telling = False


def _lamports(accounts: list[Account | None]) -> tuple[int, ...]:
    return tuple([0 if account is None else account.lamports for account in accounts])
