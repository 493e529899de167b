"""What a layer of a safety check is, what it is given, and the first two: mint facts and the round trip."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Final, Generic, Protocol, TypeVar

from solders.pubkey import Pubkey

from slotzero.errors import MalformedError, RpcError, SlotzeroError
from slotzero.safety import mint_facts, round_trip
from slotzero.safety.mint_facts import MINT_POLICIES, STRICT_POLICY, MintPolicy, judge_mint
from slotzero.safety.reader import (
    AccountView,
    ChainReader,
    HistoryReader,
    HolderReader,
    RoundTripProbe,
    SignatureView,
    SimulationView,
)
from slotzero.safety.records import Evidence
from slotzero.safety.round_trip import judge_round_trip
from slotzero.venues.records import NewPool

__all__ = ["CheckContext", "Layer", "MintFactsLayer", "NotAvailableError", "RoundTripLayer"]

T = TypeVar("T")
_METHOD_NOT_FOUND: Final = -32601


class NotAvailableError(SlotzeroError):
    """The reader or its node does not offer what a layer asks for; the check makes it UNSURE, "not_available"."""


class Layer(Protocol):
    """One independent line of evidence. A new one needs no change anywhere but in the list of layers.

    Attributes:
        name: Stands in its evidence.
        is_facts: Whether it judges what stands in accounts. Those layers alone gate a send under gate "facts".
    """

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def is_facts(self) -> bool:
        """Whether it judges facts."""
        ...

    def keys(self, pool: NewPool) -> tuple[Pubkey, ...]:
        """Return the accounts it reads or rests on: all layers' are read in one call, and stale verdicts told by."""
        ...

    async def run(self, context: "CheckContext") -> tuple[Evidence, ...]:
        """Return at least one finding. A class of `slotzero.errors` may be raised: the check makes it UNSURE."""
        ...


class _Once(Generic[T]):
    """A call made when the first layer asks, whose answer or fault every later one gets too.

    All layers of a check end at one deadline, so a caller cancelled in the middle leaves nobody behind who would
    have needed the answer; should one ask all the same, the call is made anew.
    """

    def __init__(self, call: Callable[[], Awaitable[T]]) -> None:
        self._call = call
        self._lock = asyncio.Lock()
        self._answer: tuple[T] | None = None
        self._fault: SlotzeroError | None = None

    async def get(self) -> T:
        async with self._lock:
            if self._fault is not None:
                raise self._fault
            if self._answer is None:
                try:
                    self._answer = (await self._call(),)
                except SlotzeroError as fault:
                    self._fault = fault
                    raise
            return self._answer[0]


class CheckContext:
    """What one check's layers share: the pool, the probe, and the two calls the check may make.

    Args:
        pool: What is judged.
        probe: The round trip to simulate, or None where there is no wallet to do it with.
        reader: The chain.
        keys: Every account that some layer reads.
    """

    def __init__(
        self, pool: NewPool, probe: RoundTripProbe | None, reader: ChainReader, keys: Sequence[Pubkey]
    ) -> None:
        self.pool: Final = pool
        self.probe: Final = probe
        self._reader = reader
        self._keys = tuple(dict.fromkeys(keys))
        self._accounts = _Once(self._read)
        self._simulation = _Once(self._simulate)

    async def account(self, key: Pubkey) -> AccountView | None:
        """Return an account, None where the node knows none. One call serves all layers and all keys.

        Raises:
            SlotzeroError: The reader's fault, the same for every layer that asks.
            KeyError: No layer declared `key` (a bug).
        """
        return (await self._accounts.get())[key]

    async def simulation(self) -> SimulationView:
        """Return the simulated probe; one call serves all layers. There must be a probe.

        Raises:
            SlotzeroError: The reader's fault, the same for every layer that asks.
        """
        return await self._simulation.get()

    async def further_accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
        """Read accounts that no layer could name beforehand: one more call.

        Raises:
            SlotzeroError: The reader's fault.
        """
        views = await self._reader.accounts(keys)
        if len(views) != len(keys):
            raise MalformedError(f"the node must answer {len(keys)} accounts, it answered {len(views)}")
        return views

    async def largest_accounts(self) -> Sequence[Pubkey]:
        """Return the largest token accounts of the pool's mint: one more call.

        Raises:
            NotAvailableError: The reader or its node cannot tell.
            SlotzeroError: The reader's fault.
        """
        reader = self._reader
        if not isinstance(reader, HolderReader):
            raise NotAvailableError("this reader cannot tell who holds a token")
        return await _offered(reader.largest_accounts(self.pool.mint))

    async def signatures(self, key: Pubkey, most: int) -> Sequence[SignatureView]:
        """Return the newest transactions that mention `key`, newest first: one more call.

        Raises:
            NotAvailableError: The reader or its node cannot tell.
            SlotzeroError: The reader's fault.
        """
        reader = self._reader
        if not isinstance(reader, HistoryReader):
            raise NotAvailableError("this reader cannot tell the past of an address")
        return await _offered(reader.signatures(key, most))

    async def _read(self) -> Mapping[Pubkey, AccountView | None]:
        views = await self._reader.accounts(self._keys)
        if len(views) != len(self._keys):
            raise MalformedError(f"the node must answer {len(self._keys)} accounts, it answered {len(views)}")
        return dict(zip(self._keys, views, strict=True))

    async def _simulate(self) -> SimulationView:
        assert self.probe is not None
        return await self._reader.simulate(self.probe.raw, self.probe.watch)


async def _offered(call: Awaitable[T]) -> T:
    """Tell a node that does not offer a method from one that failed at it."""
    try:
        return await call
    except RpcError as error:
        if error.code == _METHOD_NOT_FOUND:
            raise NotAvailableError(f"the node does not offer it: {error}") from error
        raise


class MintFactsLayer:
    """Mint, freeze authority and extensions, by the venue's allow-list. See `slotzero.safety.mint_facts`.

    Args:
        policies: By the venue's name; a venue without one gets `STRICT_POLICY`.
    """

    name: ClassVar[str] = mint_facts.LAYER
    is_facts: ClassVar[bool] = True

    def __init__(self, policies: Mapping[str, MintPolicy] = MINT_POLICIES) -> None:
        self._policies = policies

    def keys(self, pool: NewPool) -> tuple[Pubkey, ...]:
        """Return mint and pool account."""
        return (pool.mint, pool.pool)

    async def run(self, context: CheckContext) -> tuple[Evidence, ...]:
        """Read the two accounts and judge them."""
        pool = context.pool
        mint, account = await context.account(pool.mint), await context.account(pool.pool)
        return judge_mint(mint, pool, account, self._policies.get(pool.venue, STRICT_POLICY))


class RoundTripLayer:
    """A simulated buy and sell of everything bought. See `slotzero.safety.round_trip`.

    Args:
        max_loss_bps: The highest loss to accept, in basis points of the buy's quoted total.
    """

    name: ClassVar[str] = round_trip.LAYER
    is_facts: ClassVar[bool] = False

    def __init__(self, max_loss_bps: int) -> None:
        self._max_loss_bps = max_loss_bps

    def keys(self, pool: NewPool) -> tuple[Pubkey, ...]:
        """Return mint and pool account: a trade makes the result stale."""
        return (pool.mint, pool.pool)

    async def run(self, context: CheckContext) -> tuple[Evidence, ...]:
        """Simulate the probe and judge the result; UNSURE without a probe."""
        if context.probe is None:
            detail = "no round trip was simulated: there was no wallet to do it with"
            return (Evidence(layer=self.name, decision="UNSURE", reason="no_probe", detail=detail),)
        simulation = await context.simulation()
        return judge_round_trip(simulation, context.probe, context.pool, max_loss_bps=self._max_loss_bps)
