"""A chain served with all its ports, whose slots open when told, and a client for each port."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from msgspec import structs
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chain_world import SOL, pay
from slotzero.localnet.chain import ChainConfig
from slotzero.localnet.port_set import LocalnetConfig
from slotzero.localnet.server import Localnet, serve
from slotzero.secret import Secret
from slotzero.solana.geyser import GeyserEndpoint
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.solana.grpc_runtime import CLIENT_OPTIONS, aio
from slotzero.solana.transaction import SignedTransaction
from slotzero.units import BlockHeight, Lamports

GRPC_LOOP = pytest.mark.asyncio(loop_scope="session")
"""For every module that speaks gRPC in this process. grpc.aio has one queue for all loops: an event that is left over
for a loop that has been closed makes it drop what stands behind it, and a later test on another loop waits for ever."""

ALL_PORTS = LocalnetConfig(
    port=0, second_port=0, direct_port=0, geyser_port=0, jito_port=0, chain=ChainConfig(slot_ms=60_000)
)


class WireLab:
    """A served chain, a funded payer, and short ways to ask."""

    def __init__(self, localnet: Localnet, http: aiohttp.ClientSession) -> None:
        self.localnet = localnet
        self.chain = localnet.chain
        self.http = http
        self.payer = Keypair.from_seed(bytes([5]) * 32)
        self.chain.airdrop(self.payer.pubkey(), Lamports(1_000_000 * SOL))

    @property
    def geyser(self) -> GeyserEndpoint:
        assert self.localnet.endpoints.geyser is not None
        return GeyserEndpoint(url=Secret(self.localnet.endpoints.geyser))

    @property
    def jito(self) -> str:
        assert self.localnet.endpoints.jito is not None
        return self.localnet.endpoints.jito

    async def post(self, url: str, method: str, *params: object) -> tuple[int, Any, Any]:
        """Return status, headers and answer of a request."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.http.post(url, json=request) as response:
            return response.status, response.headers, await response.json()

    async def call(self, method: str, *params: object) -> Any:
        """Return the result of a request to the direct port."""
        assert self.localnet.endpoints.direct is not None
        _, _, answer = await self.post(self.localnet.endpoints.direct.rpc, method, *params)
        return answer.get("result", answer.get("error"))

    async def injected(self, port: str) -> Any:
        return (await self.call("slotzero_injected"))["ports"][port]

    def signed(self, *steps: Instruction, by: Keypair | None = None) -> SignedTransaction:
        payer = by or self.payer
        block = self.chain.block
        message = MessageV0.try_compile(payer.pubkey(), list(steps), [], block.blockhash)
        transaction = VersionedTransaction(message, [payer])
        return SignedTransaction(
            raw=bytes(transaction),
            signature=str(transaction.signatures[0]),
            last_valid_block_height=BlockHeight(block.last_valid_height),
        )

    def pay(self, lamports: int, to: Pubkey | None = None) -> str:
        """Land a transfer; returns its signature."""
        signed = self.signed(pay(to or self.payer.pubkey(), lamports, self.payer))
        self.chain.submit(signed.raw)
        return signed.signature


@asynccontextmanager
async def wire_lab(config: LocalnetConfig = ALL_PORTS, **changes: Any) -> AsyncIterator[WireLab]:
    """Serve a chain for the length of the block."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as http:
        group.create_task(serve(structs.replace(config, **changes), on_ready=ready.set_result, stop=stop))
        try:
            yield WireLab(await ready, http)
        finally:
            stop.set()


class RawStream:
    """A Geyser stream as a stranger would hold it."""

    def __init__(self, call: "aio.StreamStreamCall[bytes, bytes]") -> None:
        self.call = call

    async def ask(self, **request: Any) -> None:
        await self.call.write(geyser.SubscribeRequest(**request).SerializeToString())

    async def subscribe(self, **request: Any) -> None:
        """Replace the filters and wait until they hold."""
        await self.ask(**request)
        await self.ask(ping=geyser.SubscribeRequestPing(id=77))
        while (await self.read()).pong.id != 77:
            pass

    async def read(self) -> geyser.SubscribeUpdate:
        update = await self.call.read()
        assert isinstance(update, bytes), update
        return geyser.SubscribeUpdate.FromString(update)

    async def refusal(self) -> "aio.AioRpcError":
        """Read to the end, which must be an error."""
        try:
            while isinstance(await self.call.read(), bytes):
                pass
        except aio.AioRpcError as error:
            return error
        raise AssertionError("the stream ended without an error")


@asynccontextmanager
async def raw_stream(lab: WireLab, metadata: Sequence[tuple[str, str]] = ()) -> AsyncIterator[RawStream]:
    """Open a stream for the length of the block."""
    target = lab.geyser.url.reveal().removeprefix("http://")
    async with aio.insecure_channel(target, options=CLIENT_OPTIONS) as channel:
        call: aio.StreamStreamCall[bytes, bytes] = channel.stream_stream("/geyser.Geyser/Subscribe")(
            metadata=tuple(metadata)
        )
        yield RawStream(call)
        call.cancel()
