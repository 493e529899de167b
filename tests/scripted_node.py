"""A node on loopback that says what it is told to say: JSON-RPC and WebSocket, with faults on command."""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

HASH = "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM"
OWNER = "11111111111111111111111111111111"


class ScriptedNode:
    """What the node knows, and how it misbehaves.

    Attributes:
        slot: Of every context it answers with, unless `status_slot` says otherwise for statuses.
        height: Its block height; blockhashes are good for 150 more.
        fault: `None`, an HTTP status ("429", "503"), "hang", "html", or "drop" (the connection is cut).
        faulty: The methods the fault is for; empty = all.
        errors: RPC errors by method: (code, message).
        is_mute: The WebSocket accepts subscriptions and sends nothing else.
        refuses: Subscription methods that are refused.
    """

    def __init__(self) -> None:
        self.slot = 100
        self.status_slot: int | None = None
        self.height = 100
        self.fault: str | None = None
        self.faulty: set[str] = set()
        self.retry_after: str | None = None
        self.errors: dict[str, tuple[int, str]] = {}
        self.accounts: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}
        self.transactions: dict[str, int] = {}
        self.sent: list[str] = []
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, list[Any]]] = []
        self.is_mute = False
        self.refuses: set[str] = set()
        self.sockets: list[web.WebSocketResponse] = []
        self.subscriptions: dict[int, tuple[web.WebSocketResponse, str, list[Any]]] = {}
        self.subscribed: list[str] = []
        self.port = 0
        self._numbers = 0
        self._runner: web.ServerRunner | None = None

    @property
    def rpc(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; the second time on the same port as before."""
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self.cut()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def cut(self) -> None:
        """Close the WebSockets."""
        for socket in self.sockets:
            await socket.close()
        self.sockets.clear()
        self.subscriptions.clear()

    async def notify(self, method: str, first: object, result: object) -> int:
        """Send a notification to who has subscribed with this first parameter; returns how many there were."""
        found = [
            (number, socket)
            for number, (socket, name, params) in self.subscriptions.items()
            if name == method and (params[0] if params else None) == first
        ]
        for number, socket in found:
            frame = {"jsonrpc": "2.0", "method": "n", "params": {"result": result, "subscription": number}}
            await socket.send_bytes(msgspec.json.encode(frame))
        return len(found)

    async def open_slot(self) -> None:
        """Open the next slot and tell."""
        self.slot += 1
        self.height += 1
        await self.notify("slotSubscribe", None, {"parent": self.slot - 1, "root": 0, "slot": self.slot})

    async def change(self, key: str, data: bytes, *, lamports: int = 5, tell: bool = True) -> None:
        """Change an account, and tell who watches it."""
        self.accounts[key] = data
        if tell:
            await self.notify("accountSubscribe", key, self._context(account_json(data, lamports)))

    def _context(self, value: object) -> dict[str, object]:
        return {"context": {"slot": self.slot}, "value": value}

    # ---- the sockets -----------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request)
        call = msgspec.json.decode(await request.read())
        method, params = call["method"], call["params"]
        self.calls[method] += 1
        self.requests.append((method, params))
        if self.fault is not None and (not self.faulty or method in self.faulty):
            return await self._misbehave(request)
        code, message = self.errors.get(method, (0, ""))
        wanted = next((p["minContextSlot"] for p in params if isinstance(p, dict) and "minContextSlot" in p), 0)
        if not code and wanted > self.slot:
            code, message = -32016, "Minimum context slot has not been reached"
        body: dict[str, object] = {"jsonrpc": "2.0", "id": call["id"]}
        if code:
            body["error"] = {"code": code, "message": message}
        else:
            body["result"] = self.answer(method, params)
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async def _misbehave(self, request: web.BaseRequest) -> web.StreamResponse:
        match self.fault:
            case "hang":
                await asyncio.sleep(60)
            case "drop":
                assert request.transport is not None
                request.transport.abort()
            case "html":
                return web.Response(text="<html>sorry</html>", content_type="text/html")
            case str(status) if status.isdigit():
                headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
                return web.Response(status=int(status), headers=headers)
        return web.Response(status=500)

    def answer(self, method: str, params: list[Any]) -> object:  # noqa: PLR0911 a script
        """Return a method's result."""
        match method:
            case "getLatestBlockhash":
                return self._context({"blockhash": HASH, "lastValidBlockHeight": self.height + 150})
            case "getBlockHeight":
                return self.height
            case "getMultipleAccounts":
                found = (self.accounts.get(key) for key in params[0])
                return self._context([None if data is None else account_json(data) for data in found])
            case "getBalance":
                return self._context(5)
            case "getSignatureStatuses":
                slot = self.slot if self.status_slot is None else self.status_slot
                rows = [
                    None if at is None else {"slot": at, "confirmationStatus": "confirmed", "err": None}
                    for at in map(self.statuses.get, params[0])
                ]
                return {"context": {"slot": slot}, "value": rows}
            case "getTransaction":
                at = self.transactions.get(params[0])
                meta = {"fee": 1, "preBalances": [9], "postBalances": [8], "postTokenBalances": [], "err": None}
                return None if at is None else {"slot": at, "meta": meta}
            case "sendTransaction":
                self.sent.append(params[0])
                return "signature"
            case "requestAirdrop":
                return "signature"
            case "getMinimumBalanceForRentExemption":
                return 890_880 + 6_960 * params[0]
            case "getRecentPrioritizationFees":
                return [{"slot": 9, "prioritizationFee": 300}, {"slot": 8, "prioritizationFee": 100}]
        raise AssertionError(f"{method} is not in the script")

    async def _websocket(self, request: web.BaseRequest) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                await self._subscribe(socket, msgspec.json.decode(message.data))
        return socket

    async def _subscribe(self, socket: web.WebSocketResponse, call: dict[str, Any]) -> None:
        method = call["method"]
        body: dict[str, object] = {"jsonrpc": "2.0", "id": call["id"]}
        if method in self.refuses:
            body["error"] = {"code": -32601, "message": "not here"}
        elif method.endswith("Unsubscribe"):
            self.subscriptions.pop(call["params"][0], None)
            body["result"] = True
        else:
            self.subscribed.append(method)
            self._numbers += 1
            if not self.is_mute:
                self.subscriptions[self._numbers] = (socket, method, call["params"])
            body["result"] = self._numbers
        await socket.send_bytes(msgspec.json.encode(body))


def account_json(data: bytes, lamports: int = 5) -> dict[str, object]:
    """An account as a node shows it."""
    return {"lamports": lamports, "owner": OWNER, "data": [b64encode(data).decode(), "base64"], "executable": False}


@asynccontextmanager
async def scripted_nodes(count: int) -> AsyncIterator[list[ScriptedNode]]:
    """Start nodes; stop them at the end."""
    nodes = [ScriptedNode() for _ in range(count)]
    try:
        for node in nodes:
            await node.start()
        yield nodes
    finally:
        for node in nodes:
            await node.stop()


async def eventually(condition: Any, *, within_s: float = 20.0) -> None:
    """Let the loop run until `condition()` holds. The bound only ends a test that has failed."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 the condition may be anything
            await asyncio.sleep(0.002)
