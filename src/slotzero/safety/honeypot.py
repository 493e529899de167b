"""The check of a new pool: its layers in parallel, within a time budget, one verdict. The shell of `safety`.

The first two layers make at most two calls together: one read of all accounts the layers need, one simulation. A deeper
layer says what it costs beyond that. A check fails closed: a layer that did not answer in time or whose endpoint failed
is UNSURE, and only a pool that every required layer allows and none denies is ALLOW.

::

    verdict = await checker.check(pool, probe)            # gate "all"

    async with asyncio.TaskGroup() as snipe:              # gate "facts"
        running = checker.start(pool, probe, snipe)       # synchronous: call it the moment the frame is decoded
        if await running.facts() == "ALLOW":
            ...                                           # send; the round trip goes on beside it
        verdict = await running.verdict()                 # DENY now means: sell at once

A bug in a layer (any exception outside `slotzero.errors`) is not swallowed: it ends the task group that owns the
check, as any other bug of a component does.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from slotzero.errors import MalformedError, SlotzeroError
from slotzero.safety.layers import CheckContext, Layer, MintFactsLayer, NotAvailableError, RoundTripLayer
from slotzero.safety.reader import ChainReader, RoundTripProbe
from slotzero.safety.records import CheckPolicy, Decision, Evidence, Verdict, combine
from slotzero.venues.records import NewPool

__all__ = ["Check", "Checker", "HoneypotChecker", "RunningCheck", "first_layers"]

_MS_PER_S: Final = 1000


def first_layers(*, max_round_trip_loss_bps: int) -> tuple[Layer, ...]:
    """Return the layers of a first look at a pool: mint facts and the round trip. *Pure.*

    Args:
        max_round_trip_loss_bps: The highest loss of a simulated buy and sell, in basis points of what the buy costs.
    """
    return MintFactsLayer(), RoundTripLayer(max_round_trip_loss_bps)


class Check(Protocol):
    """A check that was started."""

    async def facts(self) -> Decision:
        """Wait for the layers that judge facts and return what they add up to."""
        ...

    async def verdict(self) -> Verdict:
        """Wait for every layer and return the verdict."""
        ...

    def cancel(self) -> None:
        """Stop it, for a pool that is of no interest any more."""
        ...


class Checker(Protocol):
    """Who starts checks: `HoneypotChecker`, or `VerdictCache` before one."""

    def start(self, pool: NewPool, probe: RoundTripProbe | None, group: asyncio.TaskGroup) -> Check:
        """Start a check beside other work and return at once."""
        ...


class RunningCheck:
    """One check on its way. Made by `HoneypotChecker.start`; its tasks belong to the caller's group."""

    def __init__(
        self,
        context: CheckContext,
        layers: Sequence[Layer],
        group: asyncio.TaskGroup,
        *,
        budget_ms: int,
        policy: CheckPolicy,
    ) -> None:
        pool = context.pool
        self._context = context
        self._policy = policy
        self._budget_ms = budget_ms
        self._depends_on = tuple(dict.fromkeys(key for layer in layers for key in layer.keys(pool)))
        self._layers = tuple(layers)
        self._findings: dict[str, tuple[Evidence, ...]] = {}
        self._facts_known = asyncio.Event()
        self._all_known = asyncio.Event()
        self._deadline = asyncio.get_running_loop().time() + budget_ms / _MS_PER_S
        self._tasks = [self._begin(layer, group) for layer in layers]
        self._announce()  # without any facts layer, facts are known from the start (and UNSURE)

    async def facts(self) -> Decision:
        """Wait for the layers that judge facts and return what they add up to. *Cancellation: safe.*"""
        await self._facts_known.wait()
        return combine(self._evidence(facts_only=True))

    async def verdict(self) -> Verdict:
        """Wait for every layer and return the verdict. *Cancellation: safe.*

        The wait ends with the time budget at the latest.
        """
        await self._all_known.wait()
        evidence = self._evidence(facts_only=False)
        return Verdict(
            decision=combine(evidence),
            evidence=evidence,
            facts_decision=combine(self._evidence(facts_only=True)),
            depends_on=self._depends_on,
        )

    def cancel(self) -> None:
        """Stop the layers that have not answered; they count as UNSURE. For a pool that is of no interest any more."""
        for task in self._tasks:
            task.cancel()

    def _begin(self, layer: Layer, group: asyncio.TaskGroup) -> asyncio.Task[None]:
        task = group.create_task(self._run(layer), name=f"safety {layer.name} {self._context.pool.mint}")
        # Also told of a task that was cancelled before its first step, which no code inside it would see.
        task.add_done_callback(lambda _: self._settle(layer))
        return task

    async def _run(self, layer: Layer) -> None:
        limit = asyncio.timeout_at(self._deadline)
        try:
            async with limit:
                findings = await layer.run(self._context)
                assert findings, f"layer {layer.name} returned no evidence"
        except TimeoutError:
            if not limit.expired():
                raise  # not ours: a bug of the layer
            findings = _unsure(layer, "not_answered_in_time", f"no answer within {self._budget_ms} ms")
        except NotAvailableError as error:
            findings = _unsure(layer, "not_available", str(error))
        except MalformedError as error:
            findings = _unsure(layer, "answer_malformed", str(error))
        except SlotzeroError as error:
            findings = _unsure(layer, "endpoint_error", str(error))
        self._findings[layer.name] = findings
        self._announce()

    def _settle(self, layer: Layer) -> None:
        """Close the account of a layer that ended without an answer, so that nobody waits for it for ever."""
        if layer.name not in self._findings:
            self._findings[layer.name] = _unsure(layer, "cancelled", "the check was stopped before this layer answered")
            self._announce()

    def _announce(self) -> None:
        if all(layer.name in self._findings for layer in self._layers if layer.is_facts):
            self._facts_known.set()
        if len(self._findings) == len(self._layers):
            self._all_known.set()

    def _evidence(self, *, facts_only: bool) -> tuple[Evidence, ...]:
        layers = [layer for layer in self._layers if layer.is_facts or not facts_only]
        return tuple(
            item if self._policy.is_required(layer.name) else msgspec.structs.replace(item, is_required=False)
            for layer in layers
            for item in self._findings[layer.name]
        )


class HoneypotChecker:
    """Judges new pools. *Does I/O* through its reader.

    Args:
        reader: How the chain is reached.
        layers: What is judged; their names must differ.
        budget_ms: How long one check may take, from `start` on.
        policy: How each layer counts; by default all of them are required.
    """

    def __init__(
        self,
        reader: ChainReader,
        layers: Sequence[Layer],
        *,
        budget_ms: int,
        policy: CheckPolicy = CheckPolicy(),  # noqa: B008 a frozen record
    ) -> None:
        if len({layer.name for layer in layers}) != len(layers):
            raise ValueError(f"layers must have different names, they were {[layer.name for layer in layers]}")
        self._reader = reader
        self._layers = tuple(layers)
        self._budget_ms = budget_ms
        self._policy = policy

    def start(self, pool: NewPool, probe: RoundTripProbe | None, group: asyncio.TaskGroup) -> RunningCheck:
        """Start a check beside other work and return at once.

        Args:
            pool: What to judge.
            probe: The round trip to simulate; None leaves that layer UNSURE.
            group: Who owns the check's tasks. It ends after the time budget at the latest.
        """
        keys = [key for layer in self._layers for key in layer.keys(pool)]
        context = CheckContext(pool, probe, self._reader, keys)
        return RunningCheck(context, self._layers, group, budget_ms=self._budget_ms, policy=self._policy)

    async def check(self, pool: NewPool, probe: RoundTripProbe | None) -> Verdict:
        """Judge a pool by every layer. *Cancellation: safe.*

        Args:
            pool: What to judge.
            probe: The round trip to simulate; None leaves that layer UNSURE.
        """
        async with asyncio.TaskGroup() as group:
            return await self.start(pool, probe, group).verdict()


def _unsure(layer: Layer, reason: str, detail: str) -> tuple[Evidence, ...]:
    return (Evidence(layer=layer.name, decision="UNSURE", reason=reason, detail=detail),)
