"""Methods no real cluster has: writing accounts, opening slots, looking inside, faults, stopping a port."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from solders.account import Account

from slotzero.clock import as_ms
from slotzero.errors import MalformedError, UsageError
from slotzero.localnet.faults import FaultPlan, total
from slotzero.localnet.node import Method, Node, PortControl, process_usage
from slotzero.localnet.params import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    Params,
    RpcFault,
    base64_bytes,
    config_at,
    integer_at,
    invalid,
    list_at,
    pubkey_at,
    pubkey_from,
    string_at,
)
from slotzero.localnet.slots import Lateness
from slotzero.units import U64_MAX

__all__ = ["METHODS", "PORT_METHODS"]

_MAX_ADVANCE: Final = 1_000
"""At 0.1-0.2 ms a slot: nobody else is served meanwhile."""
_MAX_REMOVED: Final = 100
"""At about 12 us each, likewise."""


class AccountFields(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """An account to write: `data` is base64 text or a pair of that and `"base64"`, as getAccountInfo shows it."""

    lamports: int
    owner: str
    data: str | tuple[str, str] = ""
    executable: bool = False
    rent_epoch: int = 0
    space: int | None = None


def set_account(node: Node, params: Params) -> object:
    """Write an account past all rules; null or 0 lamports deletes it. Returns the slot."""
    key = pubkey_at(params, 0)
    account = None
    if len(params) > 1 and params[1] is not None:
        fields = config_at(params, 1, AccountFields)
        text, encoding = (fields.data, "base64") if isinstance(fields.data, str) else fields.data
        if encoding != "base64":
            raise invalid(f"an account's data must be base64, got {encoding!r}")
        if not (0 <= fields.lamports <= U64_MAX and 0 <= fields.rent_epoch <= U64_MAX):
            raise invalid(f"lamports and rentEpoch must be between 0 and {U64_MAX}")
        account = Account(
            fields.lamports, base64_bytes(text), pubkey_from(fields.owner), fields.executable, fields.rent_epoch
        )
    try:
        node.chain.set_account(key, account)
    except MalformedError as error:
        raise RpcFault(INVALID_PARAMS, str(error)) from error
    return node.chain.slot


def remove_accounts(node: Node, params: Params) -> object:
    """Delete up to 100 accounts past all rules, all of them or none. Returns how many of them there were."""
    keys = [pubkey_from(key) for key in list_at(params, 0, "the addresses", most=_MAX_REMOVED)]
    try:
        return node.chain.remove_accounts(keys)
    except UsageError as error:
        raise invalid(str(error)) from error


def advance(node: Node, params: Params) -> object:
    """Open so many slots now (1 when nothing is said); returns the open slot."""
    node.chain.advance(integer_at(params, 0, "the number of slots", most=_MAX_ADVANCE, default=1))
    return node.chain.slot


def stats(node: Node, _params: Params) -> object:
    """Return the counters of the chain and of the parts around it."""
    chain = node.chain.stats()
    return {
        "slot": chain.slot,
        "slotMs": node.chain.config.slot_ms,
        "lateness": None if chain.lateness is None else _lateness_json(chain.lateness),
        "transactions": {
            "landed": chain.landed,
            "failed": chain.failed,
            "refused": chain.refused,
            "dropped": chain.dropped,
            "simulated": chain.simulated,
            "executions": chain.executions,
            "vmMs": as_ms(chain.vm_ns),
        },
        "history": {
            "kept": chain.history,
            "evicted": chain.evicted,
            "capacity": node.chain.config.history,
            "addresses": chain.addresses,
        },
        "tokenAccounts": chain.token_accounts,
        "removedAccounts": chain.removed,
        "ports": {name: port.stats() for name, port in node.ports.items()},
        "process": process_usage(),
        **{name: read() for name, read in node.gauges.items()},
    }


def set_faults(node: Node, params: Params) -> object:
    """Have a port's faults be these, `{}` for none, and return them; without faults, only return what they are."""
    name = string_at(params, 0, "a port")
    port = node.ports.get(name)
    if port is None:
        raise invalid(f"there is no port {name[:64]!r}; there is {', '.join(node.ports)}")
    if len(params) > 1 and params[1] is not None:
        plan = config_at(params, 1, FaultPlan)
        if plan.refuse_connections and port.faults is node.faults:
            raise invalid("a port that refuses connections could not be told to stop: say it through another one")
        port.set_faults(plan)
    return port.faults.plan


def injected(node: Node, _params: Params) -> object:
    """Return how often each fault has struck, by port and in all: what a report of errors is compared with."""
    counts = {name: port.faults.counts() for name, port in node.ports.items()}
    return {"ports": counts, "total": total(*counts.values())}


def stop_port(node: Node, params: Params) -> object:
    """Stop a port, the second unless another is named: its connections are cut, new ones refused. Returns its stats."""
    port = _other_port(node, params)
    port.stop()
    return port.stats()


def start_port(node: Node, params: Params) -> object:
    """Have a stopped port listen again where it did. Returns its counters."""
    port = _other_port(node, params)
    try:
        port.start()
    except UsageError as error:
        raise RpcFault(INTERNAL_ERROR, str(error)) from error
    return port.stats()


def _other_port(node: Node, params: Params) -> PortControl:
    name = string_at(params, 0, "a port") if params else "second"
    port = node.ports.get(name)
    if port is None:
        raise invalid(f"there is no {name[:64]} port; start the chain with one")
    if port.faults is node.faults:
        raise invalid("a port cannot be stopped through itself: no answer would come")
    return port


def _lateness_json(lateness: Lateness) -> dict[str, object]:
    return {
        "slots": lateness.slots,
        "p50Ms": as_ms(lateness.p50_ns),
        "p99Ms": as_ms(lateness.p99_ns),
        "maxMs": as_ms(lateness.max_ns),
        "restarts": lateness.restarts,
    }


METHODS: Final[Mapping[str, Method]] = {
    "slotzero_setAccount": set_account,
    "slotzero_removeAccounts": remove_accounts,
    "slotzero_advance": advance,
    "slotzero_stats": stats,
    "slotzero_faults": set_faults,
    "slotzero_injected": injected,
}

PORT_METHODS: Final[Mapping[str, Method]] = {
    "slotzero_stopPort": stop_port,
    "slotzero_startPort": start_port,
}
"""On the first port and the direct one, which rule the others."""
