"""What the safety layers ask of a chain, and the shape of its answers.

Protocols, so that the records of the RPC client and the accounts of an in-process VM fit as they are.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.units import Lamports, Slot, TokenAmount

__all__ = [
    "AccountView",
    "ChainReader",
    "HistoryReader",
    "HolderReader",
    "RoundTripProbe",
    "SignatureView",
    "SimulationView",
]


class AccountView(Protocol):
    """An account as it stands in one slot."""

    @property
    def lamports(self) -> int:
        """Its balance."""
        ...

    @property
    def owner(self) -> Pubkey:
        """The program that owns it."""
        ...

    @property
    def data(self) -> bytes:
        """Its bytes."""
        ...

    @property
    def executable(self) -> bool:
        """Whether it is a program."""
        ...


class SimulationView(Protocol):
    """What a simulated transaction did."""

    @property
    def err(self) -> object:
        """None for success, else the transaction error in the form of JSON-RPC (decoded JSON)."""
        ...

    @property
    def logs(self) -> Sequence[str]:
        """The program logs; may be cut off or absent."""
        ...

    @property
    def units(self) -> int:
        """Compute units consumed."""
        ...

    @property
    def accounts(self) -> Sequence[AccountView | None]:
        """The watched accounts after the transaction, in the order asked; None where there is none."""
        ...


class ChainReader(Protocol):
    """How a check reaches the chain. Faults are raised as classes of `slotzero.errors`."""

    async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
        """Return the accounts of `keys` in their order, all from one slot, in one call."""
        ...

    async def simulate(self, raw: bytes, watch: Sequence[Pubkey]) -> SimulationView:
        """Run the serialized transaction `raw` without landing it, in one call.

        Signatures are not verified and the blockhash is replaced. The state after it of each account of `watch` is
        part of the answer.
        """
        ...


class SignatureView(Protocol):
    """A transaction that mentions an address."""

    @property
    def signature(self) -> str:
        """Its signature in base58."""
        ...

    @property
    def slot(self) -> Slot:
        """The slot it landed in."""
        ...

    @property
    def err(self) -> object:
        """None for success, else its error."""
        ...


@runtime_checkable
class HolderReader(Protocol):
    """What a reader may know beside accounts: who holds a token. Not every node tells; a layer then is UNSURE."""

    async def largest_accounts(self, mint: Pubkey) -> Sequence[Pubkey]:
        """Return the largest token accounts of `mint`, at most 20, in one call."""
        ...


@runtime_checkable
class HistoryReader(Protocol):
    """What a reader may know beside accounts: the past of an address. Not every node tells."""

    async def signatures(self, key: Pubkey, most: int) -> Sequence[SignatureView]:
        """Return the newest confirmed transactions that mention `key`, at most `most`, newest first, in one call."""
        ...


class RoundTripProbe(Struct, frozen=True, kw_only=True):
    """A transaction that buys and sells everything bought, and what is needed to judge its simulation.

    Its instructions: preparation of our own (compute budget, funding the trader, the token account), the buy, the
    sell. Build the buy with a wide cost limit and the sell with a floor of 0: how bad the trade is is measured here,
    and a rival's trade in between should not look like a trap.

    The strongest probe trades from a *fresh* address which the paying wallet funds in the same transaction: nobody
    can have sent lamports to it or opened its accounts beforehand, so `trader_lamports` is exact whatever happens on
    chain meanwhile. Signatures are not verified in a simulation; the address needs no key. See
    `slotzero.safety.round_trip` for what this protects against.

    Attributes:
        raw: The serialized v0 transaction, unsigned (its signatures are zeros).
        trader: Who buys and sells. Our own wallet works too, with a weaker guarantee.
        trader_lamports: What the trader holds after the preparation and before anything is spent: for a fresh trader
            the funding, for our own wallet its balance.
        token_account: The trader's token account, opened *at the trader's own expense*: its rent is counted as still
            ours, so rent another wallet paid would look like a gain. The buy fills it, the sell empties it.
        tokens: How many are bought and sold.
        quoted_total: What the buy costs by our own quote, fees included, in lamports. More than 0.
        buy_index: The position of the buy among the instructions. A failure before it is the probe's, not the pool's.
        sell_index: The position of the sell.
        deposits: Further accounts that the transaction opens for the trader and at its expense (pump.fun: the user
            volume accumulator). What lies there afterwards is a deposit, not a loss. They must not exist before: a
            fresh trader's cannot. `token_account` counts as one without being named.
        known_costs: Lamports the venue takes beside the trade, by our own calculation. A trap can hide this much, so
            better let the paying wallet meet such a cost in the preparation and leave this at 0 (pump.fun: fill the
            creator's vault up to its rent, else a first buyer has to). 0 counts everything as loss.
        network_fee: What the *trader* pays for the transaction: 0 where another wallet pays.
    """

    raw: bytes
    trader: Pubkey
    trader_lamports: Lamports
    token_account: Pubkey
    tokens: TokenAmount
    quoted_total: Lamports
    buy_index: int
    sell_index: int
    deposits: tuple[Pubkey, ...] = ()
    known_costs: Lamports = Lamports(0)
    network_fee: Lamports = Lamports(0)

    @property
    def watch(self) -> tuple[Pubkey, ...]:
        """The accounts whose state after the transaction is judged: trader, token account, deposits."""
        return (self.trader, self.token_account, *self.deposits)
