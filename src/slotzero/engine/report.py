"""What a run has seen and done so far, as one record."""

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.detection.records import DetectorStats
from slotzero.solana.endpoints import EndpointStats
from slotzero.solana.reads import ReadStats
from slotzero.trace import Component, Span, Trace
from slotzero.trading.admission import AdmissionStats
from slotzero.trading.context import RaisedAlert
from slotzero.trading.exit_rules import ExitView
from slotzero.trading.journal import PositionRecord
from slotzero.trading.limits import LimitsView
from slotzero.trading.loop_watch import LoopDelay
from slotzero.trading.privacy import DelayCost
from slotzero.trading.recovery import Difference
from slotzero.trading.sniper import Refused
from slotzero.trading.wallets.book import WalletStanding
from slotzero.units import DurationNs, Lamports

__all__ = ["EngineReport", "Panic"]


class Panic(Struct, frozen=True, kw_only=True):
    """What the kill switch found: positions that are being sold now, and buys that were sent before it."""

    positions: tuple[str, ...]
    buys_under_way: int


class EngineReport(Struct, frozen=True, kw_only=True):
    """What a run has seen and done so far.

    Attributes:
        rejected: Pools not bought, by reason.
        failed: Buys that were sent and did not land, by reason.
        in_flight: Snipes between `NewPool` and their end.
        positions: Those held, and the newest closed ones; `forgotten_positions` and `forgotten_pnl_lamports`: how many
            older closed ones the journal has, and what they have brought.
        values: What each open position would bring now; None = not known. `exits`: how its exit machine
            stands, where that was asked for.
        troubles: Why the newest sell of an open position failed, where one has.
        spans: What the stages of the newest snipes took; `traces` are the stamps of the last 64, newest first.
        timings: How long components took that no snipe's stamps measure.
        alerts: The newest signals of the rug watch.
        seen_first: Which feed told first of how many pools.
        wallet: The first wallet; `wallets` has them all.
        balance: Of all wallets together, as the chain last said.
        expected_lamports: What the wallets must hold by this chain's journal, earlier runs included.
        double_buys: Mints of which more than one buy has landed.
        lost_intents: Intents without an end that nobody is working on.
        unknown_open: Intents whose outcome the chain could not be asked for.
        differences: What the journal and the wallets did not agree on at the start.
        endpoints: Each endpoint as its pool sees it.
        privacy_delays: Time that was waited on purpose.
    """

    detected: int
    rejected: dict[str, int]
    refusals: tuple[Refused, ...]
    bought: int
    closed: int
    failed: dict[str, int]
    recovered: int
    in_flight: int
    positions: tuple[PositionRecord, ...]
    forgotten_positions: int = 0
    forgotten_pnl_lamports: int = 0
    values: dict[str, Lamports | None]
    exits: dict[str, ExitView]
    troubles: dict[str, str]
    spans: tuple[Span, ...]
    traces: tuple[Trace, ...] = ()
    timings: dict[Component, tuple[DurationNs, ...]]
    alerts: tuple[RaisedAlert, ...]
    detector: DetectorStats
    admission: AdmissionStats
    limits: LimitsView
    loop_delay: LoopDelay
    reads: ReadStats
    seen_first: dict[str, int]
    rpc_calls: dict[str, int]
    wallet: Pubkey
    wallets: tuple[WalletStanding, ...]
    balance: Lamports
    expected_lamports: int
    double_buys: int
    lost_intents: int
    unknown_open: int
    differences: tuple[Difference, ...]
    endpoints: tuple[EndpointStats, ...]
    privacy_delays: tuple[DelayCost, ...]
