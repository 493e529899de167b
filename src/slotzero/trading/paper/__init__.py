"""Trading on paper: the real chain is read, nothing is sent, and fills are computed in a fork of it."""

from slotzero.trading.paper.book import PaperBook
from slotzero.trading.paper.desk import PaperDesk
from slotzero.trading.paper.fork import Fork
from slotzero.trading.paper.fork_runner import DEFAULT_LIMIT_NS, ForkRunner
from slotzero.trading.paper.pubsub import PaperPubSub
from slotzero.trading.paper.report import PaperFill, PaperReport
from slotzero.trading.paper.rpc import PaperRpc

__all__ = [
    "DEFAULT_LIMIT_NS",
    "Fork",
    "ForkRunner",
    "PaperBook",
    "PaperDesk",
    "PaperFill",
    "PaperPubSub",
    "PaperReport",
    "PaperRpc",
]
