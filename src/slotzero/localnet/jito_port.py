"""The block engine's port: JSON-RPC by path, as Jito has it."""

import asyncio
from typing import Final

from aiohttp import web

from slotzero.clock import Clock
from slotzero.localnet.faults import Faults
from slotzero.localnet.jito import BlockEngine, bundle_methods, single_methods
from slotzero.localnet.node import Node
from slotzero.localnet.ports import Port
from slotzero.localnet.rpc import Rpc
from slotzero.localnet.turns import Turns

__all__ = ["BlockEnginePort"]

_BASE: Final = "/api/v1/"
_BUNDLE_ID: Final = "x-bundle-id"
"""The header that names the bundle a single transaction was made into."""


class BlockEnginePort(Port):
    """A port that takes bundles under `/api/v1/bundles` and single transactions under `/api/v1/transactions`.

    Args:
        engine: Takes them.
        node: What the methods work on.
        turns: Those of the loop's other ports.
        faults: What goes wrong here.
        clock: What delays are taken from.
    """

    def __init__(self, engine: BlockEngine, node: Node, turns: Turns, *, faults: Faults, clock: Clock) -> None:
        methods = bundle_methods(engine)
        super().__init__(Rpc(node, methods), None, turns, faults=faults, clock=clock)
        self._engine = engine
        self._single = Rpc(node, single_methods(engine, is_bundle=False))
        self._single_bundle = Rpc(node, single_methods(engine, is_bundle=True))
        self._by_path = {
            _BASE + "bundles": self._rpc,
            _BASE + "transactions": self._single,
            **{_BASE + name: self._rpc for name in methods if name != "sendBundle"},
        }

    def _protocol(self) -> asyncio.Protocol:
        return self._http()  # what is common elsewhere, a POST to /, is answered with 404 here

    def _answer(self, request: web.BaseRequest, body: bytes) -> web.Response:
        rpc = self._by_path.get(request.path)
        if rpc is None:
            return web.Response(status=404, text=f"there is {', '.join(self._by_path)}\n")
        headers = {}
        if rpc is self._single and request.query.get("bundleOnly") == "true":
            self._engine.newest = ""
            rpc = self._single_bundle
        answer = rpc.handle(body)
        if rpc is self._single_bundle and self._engine.newest:
            headers[_BUNDLE_ID] = self._engine.newest
        return web.Response(body=answer, content_type="application/json", headers=headers)
