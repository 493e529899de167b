"""What every trading task of one run shares."""

import asyncio
from collections import deque

from msgspec import Struct

from slotzero.clock import Clock
from slotzero.config import Settings
from slotzero.solana.blockhash import BlockhashCache
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import Rpc
from slotzero.trading.accountant import Accountant
from slotzero.trading.execution import OrderDesk
from slotzero.trading.journal import Journal
from slotzero.trading.wallet import Wallet
from slotzero.units import DurationNs

__all__ = ["TradingContext"]


class TradingContext(Struct, frozen=True, kw_only=True):
    """The parts one run is wired from.

    Attributes:
        tasks: Owns every task of the run.
        revaluations: How long each re-valuation of a position took, frame read to rules applied; the newest 10,000.
    """

    settings: Settings
    clock: Clock
    rpc: Rpc
    pubsub: PubSub
    journal: Journal
    blockhashes: BlockhashCache
    desk: OrderDesk
    accountant: Accountant
    wallet: Wallet
    tasks: asyncio.TaskGroup
    revaluations: deque[DurationNs]
