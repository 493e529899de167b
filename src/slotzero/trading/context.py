"""What every trading task of one run shares."""

import asyncio
from collections import deque
from collections.abc import Mapping

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock
from slotzero.config import Settings
from slotzero.detection.trade_router import TradeRouter
from slotzero.hook import Hook
from slotzero.solana.blockhash import BlockhashCache
from slotzero.solana.pubsub import PubSub
from slotzero.solana.reads import AccountReads
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import Signer
from slotzero.trading.accountant import Accountant
from slotzero.trading.execution import OrderDesk, SendBytes
from slotzero.trading.exit_rules import ExitRules
from slotzero.trading.fee_policy import FeePolicy
from slotzero.trading.identities import Identities
from slotzero.trading.journal import Journal
from slotzero.trading.limits import Limits
from slotzero.trading.privacy import Privacy
from slotzero.trading.rug_rules import RugAlert, RugRules
from slotzero.trading.timings import Timings
from slotzero.trading.wallets.book import WalletBook

__all__ = ["RaisedAlert", "TradingContext"]


class RaisedAlert(Struct, frozen=True, kw_only=True):
    """What the rug watch of one position has seen."""

    mint: Pubkey
    alert: RugAlert


class TradingContext(Struct, frozen=True, kw_only=True):
    """The parts one run is wired from.

    Attributes:
        reads: Account reads and watches: of one tick merged, of watched accounts without a call.
        signers: The key of each wallet that trades.
        book: Which of them pays.
        identities: Where new ids and addresses come from.
        trades: Who follows the trades of which coin.
        send_buy: The path buys take, with a tip; None = the RPC endpoints, without one.
        hook: Is told what happens.
        tasks: Owns every task of the run.
        timings: How long components took that no snipe's stamps measure.
        alerts: The newest rug signals.
    """

    settings: Settings
    clock: Clock
    rpc: Rpc
    reads: AccountReads
    pubsub: PubSub
    journal: Journal
    blockhashes: BlockhashCache
    desk: OrderDesk
    accountant: Accountant
    signers: Mapping[Pubkey, Signer]
    book: WalletBook
    limits: Limits
    fees: FeePolicy
    privacy: Privacy
    exit_rules: ExitRules
    rug_rules: RugRules
    identities: Identities
    trades: TradeRouter
    send_buy: SendBytes | None
    hook: Hook
    tasks: asyncio.TaskGroup
    timings: Timings
    alerts: deque[RaisedAlert]
