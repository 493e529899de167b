"""Slots: when the next one is due, the blocks they become, and which blockhashes still open a door.

No skipped slots yet, so a block's height equals its slot; they are kept apart because blockhashes expire by height.
"""

import hashlib
from collections import deque
from typing import Final

from msgspec import Struct
from solders.hash import Hash

from slotzero.clock import elapsed_ns, is_due, later
from slotzero.units import BlockHeight, DurationNs, MonoNs, Slot

__all__ = ["BLOCKHASH_WINDOW", "Block", "BlockLog", "Lateness", "SlotSchedule", "genesis_hash"]

BLOCKHASH_WINDOW: Final = 150
"""A blockhash of height h is accepted up to height h + 150, its `lastValidBlockHeight`."""
SLOT_HASHES: Final = 512
"""Entries of the SlotHashes sysvar, as on mainnet."""
KEPT_BLOCKS: Final = SLOT_HASHES + 1
CATCH_UP_SLOTS: Final = 10
"""A stall of up to ten slots is made up for slot by slot; after a longer one (a suspended machine) the schedule starts
anew, so that a burst of empty slots does not expire everybody's blockhash at once."""
LATENESS_SAMPLES: Final = 4096


class Block(Struct, frozen=True, kw_only=True):
    """One slot's block.

    Attributes:
        blockhash: Usable from the moment the slot opens.
        unix_timestamp: Seconds since 1970, as the Clock sysvar shows them during the slot.
    """

    slot: Slot
    parent: Slot
    height: BlockHeight
    blockhash: Hash
    unix_timestamp: int

    @property
    def last_valid_height(self) -> BlockHeight:
        """The last block height at which a transaction with this blockhash is accepted."""
        return BlockHeight(self.height + BLOCKHASH_WINDOW)


def genesis_hash(seed: int, entropy: bytes) -> Hash:
    """Return the chain's name. *Pure.* Without entropy it depends on the seed alone."""
    return Hash(hashlib.sha256(b"slotzero localnet" + seed.to_bytes(8, "little") + entropy).digest())


class BlockLog:
    """The last 513 blocks: a hash chain from the genesis hash. Older ones are dropped."""

    def __init__(self, genesis: Hash, unix_timestamp: int) -> None:
        self.genesis = genesis
        self._blocks: deque[Block] = deque()
        self._by_slot: dict[Slot, Block] = {}
        self._by_hash: dict[Hash, Block] = {}
        self._append(
            Block(slot=Slot(0), parent=Slot(0), height=BlockHeight(0), blockhash=genesis, unix_timestamp=unix_timestamp)
        )

    @property
    def newest(self) -> Block:
        """The block of the open slot."""
        return self._blocks[-1]

    @property
    def oldest(self) -> Block:
        """The oldest block kept."""
        return self._blocks[0]

    def find(self, slot: Slot) -> Block | None:
        """Return the block of `slot`, None when it is not there yet or not any more."""
        return self._by_slot.get(slot)

    def open_block(self, unix_timestamp: int) -> Block:
        """Append the next slot's block and return it."""
        parent = self.newest
        slot = Slot(parent.slot + 1)
        digest = hashlib.sha256(bytes(parent.blockhash) + slot.to_bytes(8, "little")).digest()
        block = Block(
            slot=slot,
            parent=parent.slot,
            height=BlockHeight(parent.height + 1),
            blockhash=Hash(digest),
            unix_timestamp=unix_timestamp,
        )
        self._append(block)
        return block

    def at(self, slot: Slot) -> Block:
        """Return the block of `slot`, or the oldest one kept when it is older than that."""
        return self._by_slot.get(slot, self._blocks[0])

    def is_known_at(self, blockhash: Hash, slot: Slot) -> bool:
        """Tell whether `blockhash` was valid as seen from the block of `slot`."""
        block = self._by_hash.get(blockhash)
        return block is not None and block.height <= self.at(slot).height <= block.last_valid_height

    def slot_hashes(self) -> list[tuple[int, Hash]]:
        """Return slot and hash of the blocks before the open one, newest first, as the SlotHashes sysvar has them."""
        hashes: list[tuple[int, Hash]] = [(block.slot, block.blockhash) for block in self._blocks]
        hashes.pop()
        hashes.reverse()
        return hashes

    def _append(self, block: Block) -> None:
        self._blocks.append(block)
        self._by_slot[block.slot] = block
        self._by_hash[block.blockhash] = block
        if len(self._blocks) > KEPT_BLOCKS:
            oldest = self._blocks.popleft()
            del self._by_slot[oldest.slot]
            del self._by_hash[oldest.blockhash]


class Lateness(Struct, frozen=True, kw_only=True):
    """How much later than planned the last 4,096 slots opened, by nearest rank.

    Attributes:
        max_ns: Of all slots since the start.
        restarts: How often the schedule was given up after a stall of more than ten slots.
    """

    slots: int
    p50_ns: DurationNs
    p99_ns: DurationNs
    max_ns: DurationNs
    restarts: int


class SlotSchedule:
    """Say how many slots are due, and remember how late they were. A machine: it is handed `now`."""

    def __init__(self, slot_ns: DurationNs, now: MonoNs) -> None:
        self._slot_ns = slot_ns
        self._deadline = later(now, slot_ns)
        self._lateness: deque[DurationNs] = deque(maxlen=LATENESS_SAMPLES)
        self._max = DurationNs(0)
        self._slots = 0
        self._restarts = 0

    @property
    def deadline(self) -> MonoNs:
        """When the next slot is due."""
        return self._deadline

    def take_due(self, now: MonoNs) -> int:
        """Return how many slots must be opened now; 0 most of the time. *Hot path.*"""
        if not is_due(self._deadline, now):
            return 0
        if elapsed_ns(self._deadline, now) > CATCH_UP_SLOTS * self._slot_ns:
            self._note(now)
            self._restarts += 1
            self._deadline = later(now, self._slot_ns)
            return 1
        due = 0
        while is_due(self._deadline, now):
            self._note(now)
            self._deadline = later(self._deadline, self._slot_ns)
            due += 1
        return due

    def lateness(self) -> Lateness:
        """Return the lateness of the slots so far."""
        ordered = sorted(self._lateness)
        return Lateness(
            slots=self._slots,
            p50_ns=_nearest_rank(ordered, 50),
            p99_ns=_nearest_rank(ordered, 99),
            max_ns=self._max,
            restarts=self._restarts,
        )

    def _note(self, now: MonoNs) -> None:
        late = elapsed_ns(self._deadline, now)
        self._lateness.append(late)
        self._max = max(self._max, late)
        self._slots += 1


def _nearest_rank(ordered: list[DurationNs], percent: int) -> DurationNs:
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else DurationNs(0)
