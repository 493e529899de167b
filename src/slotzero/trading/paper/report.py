"""What paper trading did and what it charged, as records."""

from typing import Literal

from msgspec import Struct

from slotzero.solana.rpc import TokenBalance
from slotzero.units import Lamports, LamportsDelta, LatencyMs, Slot

__all__ = ["PaperFill", "PaperLatency", "PaperModel", "PaperReport"]


class PaperFill(Struct, frozen=True, kw_only=True):
    """A transaction that landed on paper.

    Attributes:
        failed_by: None when it succeeded; "chain" when the program refused it, "model" when the model let it fail.
        before: The payer's lamports before it; `after` likewise, tip included.
        deposit: Rent that went into accounts of the wallet's own; negative when it came back.
    """

    signature: str
    sent_slot: Slot
    slot: Slot
    err: object
    failed_by: Literal["chain", "model"] | None
    fee: Lamports
    tip: Lamports
    before: Lamports
    after: Lamports
    deposit: LamportsDelta
    units: int
    token_balances: tuple[TokenBalance, ...]

    @property
    def traded_lamports(self) -> LamportsDelta:
        """What the trade itself cost (negative) or brought, without rent and without what sending cost."""
        return LamportsDelta(self.free_lamports + self.deposit)

    @property
    def free_lamports(self) -> LamportsDelta:
        """What it would have moved had sending cost nothing; 0 for one that failed."""
        return LamportsDelta(self.after - self.before + self.fee + self.tip)


class PaperModel(Struct, frozen=True, kw_only=True):
    """What was charged beside what the chain's own state says: the `[paper]` section."""

    landing_slots: int
    drop_bps: int
    failure_bps: int
    tip_lamports: Lamports
    seed: int


class PaperLatency(Struct, frozen=True, kw_only=True):
    """How far away landing was.

    Attributes:
        round_trip_ms: Median of a call to the endpoint, half of which each send waits; None when none was made.
        slots_p50: From the slot a transaction was first sent in to the slot it landed in; None without a fill.
    """

    round_trip_ms: LatencyMs | None
    slots_p50: int | None
    slots_max: int | None


class PaperReport(Struct, frozen=True, kw_only=True):
    """What paper trading did and what it charged: net = free - fees - tips - failed sends, to the lamport.

    Attributes:
        fills: How they were computed: "fork" = in a VM, with the cluster's own programs; "quote" = one of those cannot
            be run here, and fills follow the venue's published formulas.
        runs_in: Where the VM runs: on the bot's event loop while that is cheap, else in a process of its own.
        run_ms: Median of its newest runs; None when there was none.
        sends: How often the bot sent; `dropped` of these were lost on the way.
        landed: Transactions that landed without an error.
        failed: Those that landed with one: by the model, and because the program refused them.
        free_lamports: What all fills moved, rent included, had sending cost nothing.
        fees_lamports: Of those that landed without an error: base and priority fee.
        failed_lamports: The fees of those that failed.
        net_lamports: What the wallets changed by.
        slippage_lamports: How much worse the fills were than what was quoted when they were signed, the others' trades
            of the meantime and accounts that had to be filled up; part of `free_lamports`, not beside it.
        transactions_sent: Sent to the cluster: none.
        forwarded: What it was asked, by method.
    """

    fills: Literal["fork", "quote"]
    runs_in: Literal["loop", "process"]
    run_ms: LatencyMs | None
    model: PaperModel
    latency: PaperLatency
    sends: int
    dropped: int
    landed: int
    failed: dict[str, int]
    free_lamports: int
    fees_lamports: int
    tips_lamports: int
    failed_lamports: int
    net_lamports: int
    slippage_lamports: int
    transactions_sent: int
    forwarded: dict[str, int]
