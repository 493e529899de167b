"""Several endpoints that look like one: reads go to the best, sends to all, and no lagging node ends an order.

- **Reads** go to the endpoint with the best score; after a fault they are asked once more, of another one. "Ask another
  node" (behind the wanted slot, unhealthy, without this index) is no fault and goes on until somebody can answer.
- **Sends** go to all endpoints at once: the same bytes, so the chain takes them once, whoever delivers them first.
  Success = any took it.
- **Breakers** decide who is asked, never whether: when all are open, a read goes to the best and a send to all. A pool
  must not be worse than its only endpoint.
- **Heights and statuses** follow the rule of `witness`: to a caller the pool is one node that never steps back.
- A 429 pauses its class of methods at that endpoint for as long as the endpoint asks (`Endpoint.on_error` says how
  long at most); nobody is asked faster than its limits, so a call may wait for its turn.
- A pause of sends holds back buys and what is sent again of them. Of sells (purpose "exit") one a second goes to a
  paused endpoint, and none is refused for the pause: it waits for its turn.

A pool of one endpoint keeps the same promises.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal, Self, TypeVar, cast, get_args

from slotzero.clock import Clock, add_ms, as_ms, elapsed_ns, is_due, ms
from slotzero.errors import EndpointError, MalformedError, RateLimitedError, RpcError, TransportError
from slotzero.solana.blockhash import VALID_BLOCKS
from slotzero.solana.endpoints.breaker import BreakerRules, Permit
from slotzero.solana.endpoints.endpoint import ELSEWHERE, Endpoint, failure_kind
from slotzero.solana.endpoints.health import FailureKind
from slotzero.solana.endpoints.limits import MethodClass, method_class
from slotzero.solana.endpoints.records import EndpointSpec, EndpointStats
from slotzero.solana.endpoints.witness import Witness
from slotzero.solana.rpc import (
    Commitment,
    CrowdedError,
    Purpose,
    Rpc,
    RpcClient,
    SignatureStatus,
    TransactionRecord,
    WithSlot,
    context_slot,
)
from slotzero.solana.transaction import RecentBlockhash
from slotzero.units import BlockHeight, MonoNs, Slot

__all__ = ["EndpointPool"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_ONCE: Final = frozenset({"requestAirdrop"})
"""Writes that would be done twice if they were asked twice."""
_MOST_FAULTS: Final = 2
_STATUS_ROUNDS: Final = 2
_STICKY: Final = (5, 4)
"""Reads stay where they are until another endpoint is better by a quarter: each move may be a step back in time."""


class EndpointPool(Rpc):
    """The RPC methods over several endpoints of one cluster. Use it as an async context manager.

    `run` keeps connections warm and scores true; without it the pool works, but learns only from what it is asked.

    Args:
        specs: The endpoints; among equals the first is preferred.
        clock: For limits, pauses and breakers.
        timeout_ms: How long one call to one endpoint may take.
        max_wait_ms: How long a call may wait for its turn under the limits; beyond that it fails as rate limited.
        probe_ms: How often each endpoint is probed.
        rules: When a breaker opens and for how long.
    """

    def __init__(
        self,
        specs: Sequence[EndpointSpec],
        *,
        clock: Clock,
        timeout_ms: int = 2_000,
        max_wait_ms: int = 1_000,
        probe_ms: int = 2_000,
        rules: BreakerRules | None = None,
    ) -> None:
        assert specs, "a pool needs an endpoint"
        names = _names(specs)
        super().__init__(names[0] if len(names) == 1 else f"{len(names)} endpoints ({', '.join(names)})")
        self._clock = clock
        self._max_wait_ns = ms(max_wait_ms)
        self._probe_ms = probe_ms
        self._endpoints = [
            Endpoint(number, name, spec, RpcClient(spec.rpc.reveal(), timeout_ms=timeout_ms), rules or BreakerRules())
            for number, (name, spec) in enumerate(zip(names, specs, strict=True))
        ]
        for endpoint in self._endpoints:
            endpoint.client.calls = self.calls  # one counter: `calls` is what really went out
        self._witness = Witness()
        self._newest: dict[Commitment, Slot] = {}
        self._preferred = self._endpoints[0]
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Open the sessions."""
        for endpoint in self._endpoints:
            await endpoint.client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the sessions."""
        for endpoint in self._endpoints:
            await endpoint.client.__aexit__(*exc)

    def stats(self) -> tuple[EndpointStats, ...]:
        """Return what is known of each endpoint, in their order."""
        return tuple(endpoint.stats() for endpoint in self._endpoints)

    def tell_height(self, height: BlockHeight) -> None:
        """Say that a caller has learnt a block height elsewhere than from this pool; see `witness`."""
        self._witness.tell(height)

    # ---- methods with a rule of their own --------------------------------------------------------------------------

    async def latest_blockhash_at(
        self, commitment: Commitment, *, min_context_slot: Slot | None = None, purpose: Purpose = "warm"
    ) -> WithSlot[RecentBlockhash]:
        """Return the newest blockhash at `commitment` and the slot of its block."""

        async def ask(endpoint: Endpoint) -> WithSlot[RecentBlockhash]:
            return await self._block_of(endpoint, commitment, min_context_slot, purpose)

        newest = await self._read("getLatestBlockhash", ask, purpose=purpose)
        self._witness.tell(_height(newest.value))
        return newest

    async def get_block_height(
        self, commitment: Commitment, *, min_context_slot: Slot | None = None, purpose: Purpose = "confirm"
    ) -> BlockHeight:
        """Return the block height at `commitment`."""
        height = await super().get_block_height(commitment, min_context_slot=min_context_slot, purpose=purpose)
        self._witness.tell(height)
        return height

    async def signature_statuses_at(
        self, signatures: Sequence[str], *, search_history: bool = False, purpose: Purpose = "confirm"
    ) -> WithSlot[list[SignatureStatus | None]]:
        """Return what is known of at most 256 `signatures`.

        With `search_history` a "not known" is the word of an endpoint that has proved to have come as far as every
        block height this pool has told (see `witness`): an order may be given up on it. Without, it means nothing.

        Raises:
            TransportError: No endpoint that has come so far can be asked now; that is no answer.
        """
        if not search_history:
            return await super().signature_statuses_at(signatures, purpose=purpose)
        found: dict[str, SignatureStatus] = {}
        fault: EndpointError | MalformedError | None = None
        for endpoint in self._by_score("read"):
            try:
                slot = await self._ask_witness(endpoint, signatures, found, purpose)
            except (EndpointError, MalformedError) as error:
                fault = error
                continue
            if slot is not None:
                return WithSlot(slot=slot, value=[found.get(signature) for signature in signatures])
        told = self._witness.told
        raise TransportError(
            self.endpoint, f"no endpoint that has come to block height {told} says what became of the transactions"
        ) from fault

    async def _ask_witness(
        self, endpoint: Endpoint, signatures: Sequence[str], found: dict[str, SignatureStatus], purpose: Purpose
    ) -> Slot | None:
        """Add what an endpoint knows to `found`. Returns the slot it looked at, or None when its "no" says nothing."""
        for _ in range(_STATUS_ROUNDS):
            if self._witness.proof(endpoint.number) is None:

                async def report(endpoint: Endpoint) -> object:
                    return await self._block_of(endpoint, "confirmed", None, purpose)

                await self._attempt(endpoint, "getLatestBlockhash", report, purpose=purpose, is_forced=True)
            proof = self._witness.proof(endpoint.number)  # taken before it is asked

            async def ask(endpoint: Endpoint) -> WithSlot[list[SignatureStatus | None]]:
                client = endpoint.client
                return await client.signature_statuses_at(signatures, search_history=True, purpose=purpose)

            answer = await self._attempt(endpoint, "getSignatureStatuses", ask, purpose=purpose, is_forced=True)
            for signature, status in zip(signatures, answer.value, strict=True):
                if status is not None:
                    found.setdefault(signature, status)
            is_whole = len(found) == len(set(signatures))
            if is_whole or (proof is not None and self._witness.may_deny(proof, answer.slot)):
                return answer.slot
            if proof is None:
                return None  # it lags; its next block will be asked for with the next question
        return None

    async def get_transaction(
        self, signature: str, commitment: Literal["confirmed", "finalized"], *, purpose: Purpose = "account"
    ) -> TransactionRecord | None:
        """Return a landed transaction as its fee payer saw it, or None when no endpoint knows it."""
        unasked = list(self._endpoints)

        async def ask(endpoint: Endpoint) -> TransactionRecord | None:
            unasked.remove(endpoint)
            return await endpoint.client.get_transaction(signature, commitment, purpose=purpose)

        record = await self._read("getTransaction", ask, purpose=purpose)
        while record is None and unasked:  # null is what a node says that lags, too
            try:
                record = await self._read("getTransaction", ask, among=unasked, purpose=purpose)
            except (EndpointError, MalformedError) as error:
                log.info("%s: no second opinion: %s", signature, error)
                break
        return record

    # ---- all other methods -----------------------------------------------------------------------------------------

    async def _call(self, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        async def ask(endpoint: Endpoint) -> T:
            answer = await endpoint.client._call(method, params, result, purpose)  # noqa: SLF001 the two are one mechanism
            if (slot := context_slot(answer)) is not None and (commitment := _commitment(params)) is not None:
                self._note_slot(endpoint, commitment, slot)
            return answer

        if method_class(method) == "send":
            return await self._send(method, ask, purpose)
        return await self._read(method, ask, purpose=purpose)

    async def _send(self, method: str, ask: Callable[[Endpoint], Awaitable[T]], purpose: Purpose) -> T:
        """Ask all that may be asked, at once; return when all have answered, with the first one's success."""
        now = self._clock.mono_ns()
        kind = method_class(method)
        admitted = [e for e in self._endpoints if e.breaker.admits(now)]
        is_exit = purpose == "exit"
        chosen = [e for e in admitted or self._endpoints if e.limiter.earliest(kind, now, is_exit=is_exit) <= now]
        if not chosen:
            chosen = [self._soonest(admitted or self._endpoints, kind, now, is_exit=is_exit)]
        answers: list[T] = []
        errors: list[EndpointError | MalformedError] = []

        async def send_to(endpoint: Endpoint) -> None:
            try:
                answers.append(await self._attempt(endpoint, method, ask, purpose=purpose, is_forced=True))
            except (EndpointError, MalformedError) as error:
                errors.append(error)

        async with asyncio.TaskGroup() as tasks:
            for endpoint in chosen:
                tasks.create_task(send_to(endpoint), name=f"send to {endpoint.name}")
        if answers:
            return answers[0]
        raise min(errors, key=_weight)

    async def _read(
        self,
        method: str,
        ask: Callable[[Endpoint], Awaitable[T]],
        *,
        purpose: Purpose,
        among: Sequence[Endpoint] | None = None,
    ) -> T:
        kind = method_class(method)
        candidates = self._endpoints if among is None else among
        candidates = [endpoint for endpoint in candidates if method not in endpoint.lacks] or list(candidates)
        left = list(candidates)
        faults = 0
        fault: EndpointError | MalformedError | None = None
        while left and (endpoint := self._choose(left, kind)) is not None:
            left.remove(endpoint)
            try:
                return await self._attempt(endpoint, method, ask, purpose=purpose)
            except _NotAdmittedError:
                continue
            except RpcError as error:
                if error.code not in ELSEWHERE:
                    raise
                fault = error
            except (EndpointError, MalformedError) as error:
                fault = error
                faults += 1
                if faults >= _MOST_FAULTS or method in _ONCE:
                    raise
        if fault is not None:
            raise fault
        best = min(candidates, key=lambda endpoint: endpoint.score)
        return await self._attempt(best, method, ask, purpose=purpose, is_forced=True)

    # ---- one call to one endpoint ----------------------------------------------------------------------------------

    async def _attempt(
        self,
        endpoint: Endpoint,
        method: str,
        ask: Callable[[Endpoint], Awaitable[T]],
        *,
        purpose: Purpose,
        is_forced: bool = False,
    ) -> T:
        """Wait for the endpoint's turn, ask it, and let its machines know what came of it."""
        await self._wait_turn(endpoint, method_class(method), is_exit=purpose == "exit")
        permit = endpoint.breaker.start(self._clock.mono_ns())
        if permit is None:
            if not is_forced:
                raise _NotAdmittedError(endpoint.name, f"{method} was not asked: it does not answer at present")
            permit = _NO_PERMIT
        endpoint.calls[method] += 1
        endpoint.purposes[purpose] += 1
        try:
            answer = await ask(endpoint)
        except (EndpointError, MalformedError) as error:
            endpoint.on_error(permit, method, error, self._clock.mono_ns())
            self._woken.set()
            raise
        except asyncio.CancelledError:
            endpoint.breaker.release(permit)
            endpoint.abandoned += 1
            raise
        endpoint.on_answer(permit, method, self._clock.mono_ns())
        return answer

    async def _wait_turn(self, endpoint: Endpoint, kind: MethodClass, *, is_exit: bool) -> None:
        limiter, now = endpoint.limiter, self._clock.mono_ns()
        while is_exit and limiter.is_paused(kind, now):
            if (at := limiter.take_try(kind, now)) is not None:
                await self._sleep_until(at)
                return
            await self._clock.sleep_until(limiter.paused_until(kind, now))  # over before its turn, if none prolongs it
            now = self._clock.mono_ns()
        wait_ns = elapsed_ns(now, limiter.earliest(kind, now))
        if wait_ns > self._max_wait_ns:
            raise RateLimitedError(endpoint.name, int(as_ms(wait_ns)) + 1)
        await self._sleep_until(limiter.take(kind, now))

    async def _sleep_until(self, at: MonoNs) -> None:
        if not is_due(at, self._clock.mono_ns()):
            await self._clock.sleep_until(at)

    async def _block_of(
        self, endpoint: Endpoint, commitment: Commitment, min_context_slot: Slot | None, purpose: Purpose
    ) -> WithSlot[RecentBlockhash]:
        """Ask an endpoint for its newest block, which is also its proof of how far it has come."""
        newest = await endpoint.client.latest_blockhash_at(
            commitment, min_context_slot=min_context_slot, purpose=purpose
        )
        self._note_slot(endpoint, commitment, newest.slot)
        if commitment != "processed":
            self._witness.prove(endpoint.number, _height(newest.value), newest.slot)
        return newest

    # ---- choosing --------------------------------------------------------------------------------------------------

    def _choose(self, left: list[Endpoint], kind: MethodClass) -> Endpoint | None:
        """Return whom to ask of those left: the best that can be asked now, else whoever can be soonest."""
        now = self._clock.mono_ns()
        admitted = [endpoint for endpoint in left if endpoint.breaker.admits(now)]
        ready = [endpoint for endpoint in admitted if endpoint.limiter.earliest(kind, now) <= now]
        if not ready:
            return self._soonest(admitted, kind, now) if admitted else None
        best = min(ready, key=lambda endpoint: endpoint.score)
        preferred = self._preferred
        if preferred in ready and preferred.score * _STICKY[1] <= best.score * _STICKY[0]:
            return preferred
        if len(left) == len(self._endpoints):
            self._preferred = best
        return best

    def _soonest(self, endpoints: list[Endpoint], kind: MethodClass, now: MonoNs, *, is_exit: bool = False) -> Endpoint:
        return min(endpoints, key=lambda e: (e.limiter.earliest(kind, now, is_exit=is_exit), e.number))

    def _by_score(self, kind: MethodClass) -> list[Endpoint]:
        now = self._clock.mono_ns()
        admitted = [endpoint for endpoint in self._endpoints if endpoint.breaker.admits(now)]
        return sorted(
            admitted or self._endpoints, key=lambda endpoint: (endpoint.limiter.earliest(kind, now), endpoint.score)
        )

    def _note_slot(self, endpoint: Endpoint, commitment: Commitment, slot: Slot) -> None:
        newest = self._newest[commitment] = max(slot, self._newest.get(commitment, slot))
        endpoint.health.on_slot(commitment, slot, newest)

    # ---- probes ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Probe each endpoint until cancelled: keeps it warm, its score true, and sees when it is back. *Does I/O.*"""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                now = self._clock.mono_ns()
                for endpoint in self._endpoints:
                    if not endpoint.is_probed and is_due(endpoint.probe_at(now), now):
                        endpoint.is_probed = True
                        endpoint.next_probe = add_ms(now, self._probe_ms)
                        tasks.create_task(self._probe(endpoint), name=f"probe {endpoint.name}")
                await self._sleep(tasks)

    async def _sleep(self, tasks: asyncio.TaskGroup) -> None:
        """Sleep until the next probe is due or something has happened that may move it."""
        now = self._clock.mono_ns()
        resting = [endpoint.probe_at(now) for endpoint in self._endpoints if not endpoint.is_probed]
        timer = tasks.create_task(self._ring(min(resting)), name="next probe") if resting else None
        try:
            await self._woken.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _ring(self, at: MonoNs) -> None:
        await self._clock.sleep_until(at)
        self._woken.set()

    async def _probe(self, endpoint: Endpoint) -> None:
        """Ask for the newest confirmed block: cheap everywhere, and it tells slot and height in one answer."""
        began = self._clock.mono_ns()

        async def ask(endpoint: Endpoint) -> object:
            nonlocal began
            began = self._clock.mono_ns()
            return await self._block_of(endpoint, "confirmed", None, "warm")

        try:
            await self._attempt(endpoint, "getLatestBlockhash", ask, purpose="warm")
            endpoint.health.on_probe(elapsed_ns(began, self._clock.mono_ns()))
        except (EndpointError, MalformedError) as error:
            log.info("a probe failed: %s", error)
        finally:
            endpoint.is_probed = False
            self._woken.set()


class _NotAdmittedError(TransportError):
    """The breaker has opened between choice and call."""


_NO_PERMIT: Final = Permit(era=-1)
_WEIGHTS: Final[tuple[FailureKind, ...]] = ("refused", "behind", "lacking", "malformed", "transport", "rate_limited")


def _names(specs: Sequence[EndpointSpec]) -> list[str]:
    """Return a name for each; those that look alike without their keys are told apart by number."""
    seen: Counter[str] = Counter()
    names = []
    for spec in specs:
        seen[spec.shown] += 1
        names.append(spec.shown if seen[spec.shown] == 1 else f"{spec.shown} #{seen[spec.shown]}")
    return names


def _height(newest: RecentBlockhash) -> BlockHeight:
    return BlockHeight(max(0, newest.last_valid_block_height - VALID_BLOCKS))


def _commitment(params: list[Any]) -> Commitment | None:
    options = params[-1] if params else None
    commitment = options.get("commitment") if isinstance(options, dict) else None
    return cast("Commitment", commitment) if commitment in get_args(Commitment) else None


def _weight(error: EndpointError | MalformedError) -> int:
    """What says most of why nobody took a transaction comes first, and what surely did not take it comes last.

    So a send that fails as rate limited, or as crowded without having left, was taken by no endpoint.
    """
    if isinstance(error, CrowdedError) and not error.has_left:
        return len(_WEIGHTS)
    return _WEIGHTS.index(failure_kind(error))
