"""JSON-RPC over the chain: bytes of a request in, bytes of a response out. Synchronous; knows no socket."""

from collections.abc import Mapping
from typing import Final

import msgspec

from slotzero.localnet import rpc_accounts, rpc_admin, rpc_cluster, rpc_history, rpc_tokens, rpc_transactions
from slotzero.localnet.node import Method, Node
from slotzero.localnet.params import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, Params, RpcFault

__all__ = ["METHODS", "Rpc", "brings_transaction", "error_json", "is_admin", "read_body", "read_request", "result_json"]

METHODS: Final[Mapping[str, Method]] = {
    **rpc_cluster.METHODS,
    **rpc_accounts.METHODS,
    **rpc_tokens.METHODS,
    **rpc_history.METHODS,
    **rpc_transactions.METHODS,
    **rpc_admin.METHODS,
}
"""Every method by its name. A new one is a function in one of the modules above and a row in that module's table."""

MAX_BATCH: Final = 100
"""Requests in one batch. The loop serves nobody else meanwhile; the slot deadline is looked at between any two."""

_ADMIN_PREFIX: Final = "slotzero_"
_SEND: Final = b'"sendTransaction"'

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def result_json(request_id: object, result: object) -> dict[str, object]:
    """Return a response that succeeded."""
    return {"jsonrpc": "2.0", "result": result, "id": request_id}


def error_json(request_id: object, fault: RpcFault) -> dict[str, object]:
    """Return a response that failed."""
    error: dict[str, object] = {"code": fault.code, "message": fault.message}
    if fault.data is not None:
        error["data"] = fault.data
    return {"jsonrpc": "2.0", "error": error, "id": request_id}


def is_admin(body: bytes) -> bool:
    """Tell whether a request is a single admin call. Decodes it once more: ask only when it matters."""
    try:
        request = _decoder.decode(body)
    except _UNREADABLE:
        return False
    return isinstance(request, dict) and str(request.get("method")).startswith(_ADMIN_PREFIX)


def brings_transaction(body: bytes) -> bool:
    """Tell whether a request, or one of a batch, is to send a transaction. *Hot path* (0.1 us): it is not decoded."""
    return _SEND in body


class Rpc:
    """Answer requests.

    Args:
        node: What the methods work on.
        methods: By name; replaceable, so that another port may offer other ones.
    """

    def __init__(self, node: Node, methods: Mapping[str, Method] = METHODS) -> None:
        self._node = node
        self._methods = methods

    def handle(self, body: bytes) -> bytes:
        """Return the response to a request or a batch; empty when nothing asks for one."""
        response = self.begin(body)
        self._node.chain.settle()
        return response

    def begin(self, body: bytes) -> bytes:
        """Do as `handle`, but leave it to the chain's next `settle` what follows from sent transactions. *Hot path.*"""
        try:
            request = read_body(body)
        except RpcFault as fault:
            return _encoder.encode(error_json(None, fault))
        if not isinstance(request, list):
            response = self.answer(request)
            return b"" if response is None else _encoder.encode(response)
        responses = [response for item in request if (response := self.answer(item)) is not None]
        return _encoder.encode(responses) if responses else b""

    def answer(self, request: object) -> dict[str, object] | None:
        """Return the response to one decoded request; None when it carries no id (a notification)."""
        try:
            request_id, name, params = read_request(request)
        except RpcFault as fault:
            return error_json(request.get("id") if isinstance(request, dict) else None, fault)
        try:
            response = result_json(request_id, self._call(name, params))
        except RpcFault as fault:
            response = error_json(request_id, fault)
        assert isinstance(request, dict)
        return response if "id" in request else None

    def _call(self, name: str, params: Params) -> object:
        method = self._methods.get(name) or self._node.added.get(name)
        if method is None:
            raise RpcFault(METHOD_NOT_FOUND, f"Method not found: {name[:64]}")
        if method is not rpc_transactions.send_transaction:  # which sees to it that no slot is late
            self._node.chain.catch_up()
        return method(self._node, params)


def read_body(body: bytes | str) -> object:
    """Return what a body or a frame holds: a batch if it is a list. Raises RpcFault when that is no request at all."""
    try:
        request: object = _decoder.decode(body)
    except _UNREADABLE as error:
        raise RpcFault(PARSE_ERROR, f"Parse error: {error}") from error
    if isinstance(request, list) and not 0 < len(request) <= MAX_BATCH:
        raise RpcFault(INVALID_REQUEST, f"Invalid request: a batch holds 1 to {MAX_BATCH} requests, got {len(request)}")
    return request


def read_request(request: object) -> tuple[object, str, Params]:
    """Return id, method and parameters of a decoded request. Raises RpcFault when it is none."""
    if not isinstance(request, dict):
        raise RpcFault(INVALID_REQUEST, "Invalid request: expected an object")
    if request.get("jsonrpc") != "2.0":
        raise RpcFault(INVALID_REQUEST, 'Invalid request: "jsonrpc" must be "2.0"')
    name, params, request_id = request.get("method"), request.get("params"), request.get("id")
    if not isinstance(name, str):
        raise RpcFault(INVALID_REQUEST, 'Invalid request: "method" must be a string')
    if not (request_id is None or isinstance(request_id, str | int | float)):
        raise RpcFault(INVALID_REQUEST, 'Invalid request: "id" must be a string or a number')
    if params is None:
        params = []
    if not isinstance(params, list):
        raise RpcFault(INVALID_PARAMS, "Invalid params: expected a list, by position")
    return request_id, name, params
