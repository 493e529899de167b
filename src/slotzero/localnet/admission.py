"""Whether a transaction may be executed: by a blockhash or a durable nonce that is acceptable, and not twice.

The checks a leader makes before the VM; LiteSVM knows the newest blockhash alone. A transaction is accepted by one of
the last 150 blockhashes, or by the value of the nonce its first instruction advances (see `nonces`).
"""

from collections.abc import Callable, Sequence

from solders.pubkey import Pubkey
from solders.signature import Signature

from slotzero.localnet.commitments import UndoLog
from slotzero.localnet.execution import AnyMessage
from slotzero.localnet.history import RecentSignatures
from slotzero.localnet.nonces import nonce_advanced, nonce_use, stored_nonce
from slotzero.localnet.slots import BlockLog
from slotzero.solana.svm import Svm, TransactionErr
from slotzero.units import Slot

__all__ = ["Admission"]


class Admission:
    """Who is let in. Remembers who has been, as long as a blockhash can be acceptable.

    Args:
        svm: Where nonces are stored.
        blocks: The blockhashes.
        undo: What the nonces were.
        settle: Has what was executed noted: what has advanced a nonce in this slot is known of afterwards only.
    """

    def __init__(self, svm: Svm, blocks: BlockLog, undo: UndoLog, settle: Callable[[], None]) -> None:
        self._svm = svm
        self._blocks = blocks
        self._undo = undo
        self._settle = settle
        self._recent = RecentSignatures()

    def open_slot(self) -> None:
        """Begin a slot; signatures whose blockhashes have expired are forgotten."""
        self._recent.open_slot()

    def remember(self, signature: Signature) -> None:
        """Let no second transaction with `signature` in."""
        self._recent.add(signature)

    def objection(self, signature: Signature, message: AnyMessage, slot: Slot) -> TransactionErr | None:
        """Return why a transaction may not be executed, as of the block of `slot`; None when it may. *Hot path.*"""
        is_recent = self._blocks.is_known_at(message.recent_blockhash, slot)
        if not is_recent and not self._has_durable_nonce(message, slot):
            return "BlockhashNotFound"
        return "AlreadyProcessed" if signature in self._recent else None

    def advance_nonce(self, message: AnyMessage, keys: Sequence[Pubkey]) -> int | None:
        """Do what LiteSVM leaves out after a failure; return the nonce's index among `keys`, None without one."""
        if self._blocks.is_known_at(message.recent_blockhash, self._blocks.newest.slot):
            return None
        use = nonce_use(message)
        account = None if use is None else self._svm.get_account(use.account)
        assert use is not None, "without a recent blockhash only a nonce is admitted"
        assert account is not None, "an account of a failed transaction exists as before"
        self._svm.set_account(use.account, nonce_advanced(account))
        return keys.index(use.account)

    def _has_durable_nonce(self, message: AnyMessage, slot: Slot) -> bool:
        """Tell whether `message` carries the value of the nonce it advances, stored before `slot`."""
        use = nonce_use(message)
        if use is None:
            return False
        self._settle()
        current = self._svm.get_account(use.account)
        nonce = stored_nonce(self._undo.account_at(use.account, slot, current))
        before = stored_nonce(self._undo.account_at(use.account, Slot(slot - 1), current))
        return (
            nonce is not None
            and before is not None
            and nonce.authority in use.signers
            and message.recent_blockhash == nonce.value == before.value
        )
