"""A chain on whose coins a test decides, step by step: real ports, real programs, no launches of its own.

As a program (`python stage_chain.py SLOT_MS SEED`) it serves a chain with two ports in a process of its own and takes
orders on stdin, one JSON array a line: what to launch, who of the launcher's wallets buys or sells, what the chain has
received. As a module it starts that program: `with staged_chain(...) as stage`.
"""

import asyncio
import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import uvloop
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chain_judge import Rpc
from slotzero.clock import SystemClock
from slotzero.localnet.chain import ChainConfig
from slotzero.localnet.launcher import Launcher, LauncherConfig
from slotzero.localnet.launcher.coins import CoinScript
from slotzero.localnet.launcher.desk import Desk
from slotzero.localnet.launcher.mix import CoinKind, CoinPlan
from slotzero.localnet.server import Localnet, LocalnetConfig, announcement, serve
from slotzero.units import BasisPoints, Lamports

__all__ = ["Received", "Stage", "staged_chain"]

SOL = 1_000_000_000
_PATIENCE = BasisPoints(5_000)


@dataclass(frozen=True)
class Received:
    """A transaction of somebody who is not of the launcher's, as it came in; `at` is the monotonic clock's."""

    at: int
    raw: bytes

    @property
    def payer(self) -> str:
        return str(VersionedTransaction.from_bytes(self.raw).message.account_keys[0])


class Stage:
    """The test's side."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.endpoints: dict[str, Any] = json.loads(self._stdout.readline())
        self.rpc = Rpc(self.endpoints["rpc"])

    def launch(self, symbol: str, *, kind: str = "honest", creator_buys: int = SOL) -> str:
        """Create a coin whose creator buys for so many lamports with the creation; returns its mint."""
        return str(self._ask("launch", symbol, kind, creator_buys))

    def buy(self, mint: str, lamports: int, *, rival: int = 0) -> None:
        """Have a rival buy now."""
        self._ask("buy", mint, lamports, rival)

    def sell(self, mint: str, share_bps: int, *, rival: int | None = None) -> None:
        """Have a rival (None: the creator) sell a share of what it holds, now and at any price."""
        self._ask("sell", mint, share_bps, rival)

    def received(self) -> list[Received]:
        """What has come in from others, refused or not, sent again or not, in order."""
        return [Received(at, base64.b64decode(raw)) for at, raw in self._ask("received")]

    def _ask(self, *order: object) -> Any:
        self._stdin.write(json.dumps(order).encode() + b"\n")
        self._stdin.flush()
        answer = json.loads(self._stdout.readline())
        assert "failure" not in answer, answer
        return answer["done"]


@contextlib.contextmanager
def staged_chain(*, slot_ms: int = 50, seed: int = 7) -> Iterator[Stage]:
    """A running chain; ends with the block."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(slot_ms), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Stage(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()


# ---- the process ---------------------------------------------------------------------------------------------------


class _Play:
    """The chain's side: carries orders out."""

    def __init__(self, localnet: Localnet, seed: int) -> None:
        self._seed = seed
        self._chain = localnet.chain
        self.launcher = Launcher(localnet.chain, LauncherConfig(seed=seed))
        self._desk = Desk(localnet.chain)
        self._coins: dict[str, tuple[int, int]] = {}
        self._received: list[tuple[int, str]] = []
        execute, clock, ours = localnet.chain.execute, SystemClock(), self.launcher.actors.addresses

        def noted(raw: bytes, *, preflight: bool = False) -> Any:
            if VersionedTransaction.from_bytes(raw).message.account_keys[0] not in ours:
                self._received.append((clock.mono_ns(), base64.b64encode(raw).decode()))
            return execute(raw, preflight=preflight)

        localnet.chain.execute = noted  # type: ignore[method-assign]

    def carry_out(self, order: list[Any]) -> object:
        match order:
            case ["launch", symbol, kind, creator_buys]:
                return self._launch(symbol, CoinKind(kind), creator_buys)
            case ["buy", mint, lamports, rival]:
                accounts, actor = self._accounts(mint, rival)
                reserves = self._desk.reserves(accounts.curve)
                self._submit(self._desk.buy(accounts, reserves, Lamports(lamports), _PATIENCE), actor)
            case ["sell", mint, share_bps, rival]:
                accounts, actor = self._accounts(mint, rival)
                self._submit(self._desk.sell(accounts, BasisPoints(share_bps), may_close=False), actor)
            case ["received"]:
                return self._received
            case _:
                raise ValueError(f"no such order: {order}")
        return None

    def _launch(self, symbol: str, kind: CoinKind, creator_buys: int) -> str:
        index = len(self._coins)
        creator = index % len(self.launcher.actors.creators)
        script = CoinScript(
            seed=self._seed,
            index=index,
            plan=CoinPlan(kind=kind, rivals=0),
            name=f"Coin {symbol}",
            symbol=symbol,
            uri="https://ipfs.example/coin.json",
            creator=creator,
            creator_buy_lamports=Lamports(creator_buys),
            actions=(),
        )
        mint = self.launcher.launch(script)
        if mint is None:
            raise ValueError(str(self.launcher.stats().launch_failures))
        self._coins[str(mint)] = (index, creator)
        return str(mint)

    def _accounts(self, mint: str, rival: int | None) -> tuple[Any, Any]:
        actors = self.launcher.actors
        index, creator = self._coins[mint]
        actor = actors.creators[creator] if rival is None else actors.rivals[rival]
        key, maker = Pubkey.from_string(mint), actors.creators[creator].pubkey
        return self._desk.accounts(actor, mint=key, creator=maker, choice=index), actor

    def _submit(self, instructions: list[Any], actor: Any) -> None:
        failure = self._desk.submit(instructions, actor) if instructions else "nothing to trade"
        if failure is not None:
            raise ValueError(failure)


async def _serve(slot_ms: int, seed: int) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)

    async def play(localnet: Localnet) -> None:
        # The first line must be the endpoints; the launcher funds its wallets before the first slot has passed.
        made = _Play(localnet, seed)
        _say(json.loads(announcement(localnet)))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(made.launcher.run())
            while line := await reader.readline():
                try:
                    _say({"done": made.carry_out(json.loads(line))})
                except ValueError as error:
                    _say({"failure": str(error)})
            running.cancel()
        stop.set()

    config = LocalnetConfig(port=0, second_port=0, chain=ChainConfig(seed=seed, slot_ms=slot_ms, history=200_000))
    await serve(config, on_ready=lambda _: None, stop=stop, services=[play])


def _say(document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
