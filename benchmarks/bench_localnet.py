"""What the embedded chain costs: in process, over loopback, under load, and how punctual its slots are. About 50 s."""

import asyncio
import gc
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import uvloop
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from coin_traffic import USERS, Client, Traffic, window
from environment import print_environment, print_row
from slotzero.clock import elapsed_ns, mono_ns
from slotzero.localnet.chain import Chain, ChainConfig, Landed
from slotzero.localnet.render import base64_text
from slotzero.units import Lamports
from slotzero.venues.pumpfun import instructions
from slotzero.venues.pumpfun.accounts import decode_global
from slotzero.venues.pumpfun.addresses import GLOBAL

SOL = 1_000_000_000
SAMPLES = 2_000
LOOPBACK_SAMPLES = 1_000
WINDOWS = 4
WINDOW_S = 6
SUBSCRIBED_COINS = 1_000


def main() -> None:
    """Print everything."""
    print_environment("The embedded chain: in process, over loopback, and how punctual its slots are")
    in_process()
    over_loopback()
    under_load()


def timed(step: Callable[[], object]) -> int:
    """Return how long `step` took, in nanoseconds."""
    start = mono_ns()
    step()
    return elapsed_ns(start, mono_ns())


def signed(signers: list[Keypair], blockhash: Hash, *steps: Instruction) -> bytes:
    """Return the bytes of a signed transaction."""
    message = MessageV0.try_compile(signers[0].pubkey(), list(steps), [], blockhash)
    return bytes(VersionedTransaction(message, signers))


def payments(payer: Keypair, blockhash: Hash, count: int) -> list[bytes]:
    """Return `count` different transfers."""
    to = Keypair().pubkey()
    return [
        signed([payer], blockhash, transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=SOL + n)))
        for n in range(count)
    ]


def in_process() -> None:
    """Measure the chain without sockets: what a service beside it pays."""
    chain = Chain(ChainConfig(slot_ms=60_000))
    payer = Keypair()
    chain.airdrop(payer.pubkey(), Lamports(10_000_000 * SOL))
    gc.collect()
    gc.freeze()
    gc.disable()
    for name, preflight in (("submit a transfer, skip preflight", False), ("submit a transfer, preflight", True)):
        raws = payments(payer, chain.block.blockhash, SAMPLES)
        print_row(name, [timed(partial(chain.submit, raw, preflight=preflight)) for raw in raws])
    pump_in_process(chain, payer)
    print_row("open a slot", [timed(chain.advance) for _ in range(500)])
    read = partial(chain.account, GLOBAL)
    print_row("read an account, processed", [timed(read) for _ in range(SAMPLES)])
    read = partial(chain.account, GLOBAL, "finalized")
    print_row("read an account, finalized", [timed(read) for _ in range(SAMPLES)])
    gc.enable()
    gc.unfreeze()
    print_row("full garbage collection, that chain and all modules", [timed(gc.collect)])


def pump_in_process(chain: Chain, creator: Keypair) -> None:
    """Measure creations, buys and sells on the pump program."""
    settings_account = chain.account(GLOBAL)
    assert settings_account is not None
    protocol, buyback = instructions.fee_recipients(decode_global(settings_account.data), is_mayhem=False)
    spans: dict[str, list[int]] = {"create_v2": [], "account + buy": [], "sell": []}
    for number in range(200):
        mint, buyer = Keypair(), Keypair()
        chain.airdrop(buyer.pubkey(), Lamports(10 * SOL))
        trade = instructions.trade_accounts(
            instructions.wallet_accounts(buyer.pubkey()),
            mint=mint.pubkey(),
            creator=creator.pubkey(),
            fee_recipient=protocol,
            buyback_recipient=buyback,
        )
        create = instructions.create_v2(
            user=creator.pubkey(), mint=mint.pubkey(), creator=creator.pubkey(), name="M", symbol="M", uri=str(number)
        )
        tokens = 10_000_000_000
        steps = {
            "create_v2": ([creator, mint], [create]),
            "account + buy": (
                [buyer],
                [instructions.create_associated_token_account(trade), instructions.buy(trade, tokens, SOL)],
            ),
            "sell": ([buyer], [instructions.sell(trade, tokens, 0)]),
        }
        for name, (signers, instructions_of) in steps.items():
            raw = signed(signers, chain.block.blockhash, *instructions_of)
            start = mono_ns()
            outcome = chain.submit(raw, preflight=True)
            spans[name].append(elapsed_ns(start, mono_ns()))
            assert isinstance(outcome, Landed), outcome
    for name, rows in spans.items():
        print_row(f"submit pump {name}, preflight", rows)


class Http:
    """The least HTTP client there can be: what is measured is the chain, not a library."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def send(self, method: str, *params: object) -> None:
        """Send a request without waiting for its answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        self._socket.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def receive(self) -> object:
        """Return the next answer's result."""
        length = 0
        while (line := self._file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        answer = json.loads(self._file.read(length))
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def call(self, method: str, *params: object) -> object:
        """Return the result of a request."""
        self.send(method, *params)
        return self.receive()


class WebSocket:
    """As little of a WebSocket client as one subscription needs."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        while self._file.readline() != b"\r\n":
            pass

    def send(self, method: str, *params: object) -> None:
        """Send a request of 126 to 65,535 bytes."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params, "padding": "x" * 126}
        body = json.dumps(request).encode()
        self._socket.sendall(bytes([0x81, 0x80 | 126]) + len(body).to_bytes(2, "big") + bytes(4) + body)

    def receive(self) -> bytes:
        """Return the next frame's payload."""
        length = self._file.read(2)[1]
        if length >= 126:
            length = int.from_bytes(self._file.read(2 if length == 126 else 8), "big")
        return self._file.read(length)


@contextmanager
def chain_process() -> Iterator[int]:
    """Run a chain of its own and give its port."""
    command = [sys.executable, "-m", "slotzero", "localnet", "--port", "0", "--until-stdin-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:  # noqa: S603 our own command
        assert child.stdout is not None
        assert child.stdin is not None
        yield int(json.loads(child.stdout.readline())["port"])
        child.stdin.close()
        child.wait(10)


def over_loopback() -> None:
    """Measure a chain in a process of its own."""
    with chain_process() as port:
        http, websocket = Http(port), WebSocket(port)
        payer = Keypair()
        http.call("requestAirdrop", str(payer.pubkey()), 10_000_000 * SOL)
        print_row("RPC getSlot", [timed(partial(http.call, "getSlot")) for _ in range(LOOPBACK_SAMPLES)])
        skip = {"encoding": "base64", "skipPreflight": True}
        spans = [
            timed(partial(http.call, "sendTransaction", text, skip))
            for text in wire_payments(http, payer, LOOPBACK_SAMPLES)
        ]
        print_row("RPC sendTransaction, skip preflight", spans)

        mentions = {"mentions": [str(payer.pubkey())]}
        websocket.send("logsSubscribe", mentions, {"commitment": "processed"})
        websocket.receive()
        whole: list[int] = []
        told: list[int] = []
        for text in wire_payments(http, payer, LOOPBACK_SAMPLES):
            start = mono_ns()
            http.send("sendTransaction", text, skip)
            frame = websocket.receive()
            end = mono_ns()
            whole.append(elapsed_ns(start, end))
            told.append(elapsed_ns(json.loads(frame)["params"]["result"]["context"]["monoNs"], end))
            http.receive()
        print_row("send -> logsNotification read", whole)
        print_row("executed (monoNs) -> logsNotification read", told)
        time.sleep(4)
        print_stats(http)


def under_load() -> None:
    """Saturate a chain in a process of its own with create, buy and sell; every second window has subscribers."""
    with chain_process() as port, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(saturate(port))
        print_stats(Http(port))


async def saturate(port: int) -> None:
    """Print the throughput of alternating windows: a difference between them is the subscriptions'."""
    traffic = Traffic(port, await Client.open(port))
    await traffic.prepare()
    for number in range(WINDOWS):
        subscribed = SUBSCRIBED_COINS * (number % 2)
        stretch = await window(traffic, WINDOW_S, subscriptions=subscribed)
        print(
            f"  create, buy, sell on {USERS} connections, {2 * subscribed:4} subscriptions: "
            f"{stretch.transactions / stretch.seconds:5.0f} tx/s, chain "
            f"{100 * stretch.cpu_seconds / stretch.seconds:3.0f} % of a core, "
            f"{1e6 * stretch.cpu_seconds / stretch.transactions:4.0f} us CPU each, {stretch.failed} failed, "
            f"{stretch.notifications} notifications  (n={stretch.transactions})"
        )


def wire_payments(http: Http, payer: Keypair, count: int) -> list[str]:
    """Return `count` different transfers in base64, signed over a fresh blockhash."""
    latest = http.call("getLatestBlockhash", {"commitment": "processed"})
    assert isinstance(latest, dict)
    return [base64_text(raw) for raw in payments(payer, Hash.from_string(latest["value"]["blockhash"]), count)]


def print_stats(http: Http) -> None:
    """Print the chain's own counters."""
    stats = http.call("slotzero_stats")
    assert isinstance(stats, dict)
    late, process, garbage = stats["lateness"], stats["process"], stats["garbage"]
    print(
        f"  slots: {late['slots']}, late p50 {late['p50Ms']:.2f} p99 {late['p99Ms']:.2f} max {late['maxMs']:.2f} ms; "
        f"garbage: {garbage['collections']} passes, max {garbage['maxMs']:.2f} ms; "
        f"{stats['transactions']['landed']} transactions, {process['cpuSeconds']:.2f} s CPU, "
        f"{process['rssBytes'] / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
