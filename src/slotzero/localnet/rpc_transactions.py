"""RPC methods that send, simulate and look up transactions."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from solders.account import Account
from solders.message import from_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import SanitizeError, VersionedTransaction

from slotzero.errors import MalformedError
from slotzero.localnet.chain import Chain
from slotzero.localnet.commitments import Commitment, commitment_of, slot_at
from slotzero.localnet.execution import parse_transaction
from slotzero.localnet.history import TransactionRecord
from slotzero.localnet.node import Method, Node
from slotzero.localnet.outcomes import Dropped, Executed, Landed, Refused, Simulation
from slotzero.localnet.params import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    PREFLIGHT_FAILURE,
    SIGNATURE_FAILURE,
    VERSION_UNSUPPORTED,
    AccountConfig,
    CommitmentConfig,
    Params,
    RpcFault,
    TransactionEncoding,
    base64_bytes,
    checked_context_slot,
    commitment_in,
    config_at,
    decode_wire_transaction,
    integer_at,
    invalid,
    list_at,
    pubkey_at,
    pubkey_from,
    signature_from,
    string_at,
)
from slotzero.localnet.render import (
    err_sentence,
    inner_instructions_json,
    loaded_addresses_json,
    return_data_json,
    simulated_accounts_json,
    status_json,
    token_balances_json,
    transaction_json,
)
from slotzero.localnet.rpc_cluster import with_context
from slotzero.units import Lamports

__all__ = ["METHODS"]

_MAX_STATUSES: Final = 256
_MAX_SIMULATED_ACCOUNTS: Final = 64
_STATUS_CACHE_SLOTS: Final = 300
"""Statuses older than this are found only with `searchTransactionHistory`, as on a real node: null is not failed."""


class SendConfig(CommitmentConfig, frozen=True, kw_only=True, rename="camel"):
    """The options of sendTransaction. `maxRetries` means nothing here: what can land lands at once."""

    encoding: TransactionEncoding | None = None
    skip_preflight: bool | None = None
    preflight_commitment: Commitment | None = None
    max_retries: int | None = None


class SimulatedAccounts(Struct, frozen=True, kw_only=True, rename="camel"):
    """The accounts a simulation shall show afterwards."""

    addresses: list[str]
    encoding: str | None = None


class SimulateConfig(CommitmentConfig, frozen=True, kw_only=True, rename="camel"):
    """The options of simulateTransaction."""

    encoding: TransactionEncoding | None = None
    sig_verify: bool | None = None
    replace_recent_blockhash: bool | None = None
    accounts: SimulatedAccounts | None = None
    inner_instructions: bool | None = None


class StatusConfig(Struct, frozen=True, kw_only=True, rename="camel"):
    """The options of getSignatureStatuses."""

    search_transaction_history: bool | None = None


class TransactionConfig(CommitmentConfig, frozen=True, kw_only=True, rename="camel"):
    """The options of getTransaction."""

    encoding: str | None = None
    max_supported_transaction_version: int | None = None


class AirdropConfig(CommitmentConfig, frozen=True, kw_only=True, rename="camel"):
    """The options of requestAirdrop."""

    recent_blockhash: str | None = None


def send_transaction(node: Node, params: Params) -> object:
    """Execute a transaction and return its signature: known beforehand, and no promise that it landed."""
    text = string_at(params, 0, "the transaction")
    config = config_at(params, 1, SendConfig)
    checked_context_slot(node.chain, config)
    raw = decode_wire_transaction(text, config.encoding)
    try:
        if node.faults.is_armed and _is_lost(node, raw, has_preflight=not config.skip_preflight):
            return str(parse_transaction(raw).signatures[0])
        outcome = node.chain.execute(raw, preflight=not config.skip_preflight)
    except MalformedError as error:
        raise RpcFault(INVALID_PARAMS, str(error)) from error
    match outcome:
        case Executed(signature=signature) | Dropped(signature=signature):
            return str(signature)
        case Refused(err="SignatureFailure"):
            raise RpcFault(SIGNATURE_FAILURE, "Transaction signature verification failure")
        case Refused(err=err, execution=execution):
            data = {
                "accounts": None,
                "err": err,
                "innerInstructions": None,
                "logs": [] if execution is None else execution.logs(),
                "returnData": None if execution is None else return_data_json(execution.metadata),
                "unitsConsumed": 0 if execution is None else execution.units_consumed,
            }
            raise RpcFault(PREFLIGHT_FAILURE, f"Transaction simulation failed: {err_sentence(err)}", data)


def _is_lost(node: Node, raw: bytes, *, has_preflight: bool) -> bool:
    """Tell whether a fault makes this transaction vanish behind the node that takes it.

    One whose preflight fails does not get that far: it is refused as ever, and the fault waits for the next.
    """
    transaction = parse_transaction(raw)
    if has_preflight and node.chain.simulate(transaction, verify_signatures=True).err is not None:
        return False
    return node.faults.drops_send()


def simulate_transaction(node: Node, params: Params) -> object:
    """Run a transaction and keep nothing."""
    text = string_at(params, 0, "the transaction")
    config = config_at(params, 1, SimulateConfig)
    if config.sig_verify and config.replace_recent_blockhash:
        raise RpcFault(INVALID_PARAMS, "sigVerify may not be used with replaceRecentBlockhash")
    wanted = _wanted_accounts(config)
    raw = decode_wire_transaction(text, config.encoding)
    slot = checked_context_slot(node.chain, config)
    commitment = commitment_in(config)
    try:
        simulation = node.chain.simulate(
            parse_transaction(raw),
            commitment=commitment,
            verify_signatures=bool(config.sig_verify),
            check_blockhash=not config.replace_recent_blockhash,
        )
    except MalformedError as error:
        raise RpcFault(INVALID_PARAMS, str(error)) from error
    if simulation.err == "SignatureFailure":
        raise RpcFault(SIGNATURE_FAILURE, "Transaction signature verification failure")
    value = _simulation_json(node.chain, simulation, commitment)
    if config.inner_instructions and simulation.execution is not None:
        value["innerInstructions"] = inner_instructions_json(simulation.execution.metadata)
    if config.accounts is not None and simulation.err is None:
        shown = AccountConfig(encoding=config.accounts.encoding or "base64")
        value["accounts"] = simulated_accounts_json(
            wanted, simulation.keys, simulation.accounts, lambda key: node.chain.account(key, commitment), shown
        )
    if config.replace_recent_blockhash:
        block = node.chain.block_at(commitment)
        value["replacementBlockhash"] = {
            "blockhash": str(block.blockhash),
            "lastValidBlockHeight": block.last_valid_height,
        }
    return with_context(slot, value)


def get_fee_for_message(node: Node, params: Params) -> object:
    """Return what a message would cost its payer, null when its blockhash is not good (any more)."""
    raw = base64_bytes(string_at(params, 0, "the message"))
    config = config_at(params, 1, CommitmentConfig)
    slot = checked_context_slot(node.chain, config)
    try:
        message = from_bytes_versioned(raw)
        transaction = VersionedTransaction.populate(
            message, [Signature.default()] * message.header.num_required_signatures
        )
        transaction.sanitize()
    except (ValueError, SanitizeError) as error:
        raise RpcFault(INVALID_PARAMS, f"failed to deserialize message: {error}") from error
    # The VM names the fee whether the transaction succeeds or not.
    simulation = node.chain.simulate(transaction, commitment=commitment_in(config))
    return with_context(slot, None if simulation.execution is None else simulation.execution.fee)


def get_signature_statuses(node: Node, params: Params) -> object:
    """Return what is known of up to 256 signatures; null says nothing about landing."""
    signatures = [signature_from(text) for text in list_at(params, 0, "the signatures", most=_MAX_STATUSES)]
    config = config_at(params, 1, StatusConfig)
    oldest = 0 if config.search_transaction_history else node.chain.slot - _STATUS_CACHE_SLOTS
    records = [node.chain.transaction(signature) for signature in signatures]
    rows = [None if record is None or record.slot < oldest else _status_row(node.chain, record) for record in records]
    return with_context(node.chain.slot, rows)


def get_transaction(node: Node, params: Params) -> object:
    """Return an executed transaction, or null when it is unknown or not yet of the commitment asked for."""
    signature = signature_from(params[0] if params else None)
    # An encoding may stand in the place of the options.
    encoding_only = len(params) > 1 and isinstance(params[1], str)
    config = TransactionConfig(encoding=str(params[1])) if encoding_only else config_at(params, 1, TransactionConfig)
    commitment = commitment_in(config)
    if commitment == "processed":
        raise RpcFault(INVALID_PARAMS, "Method does not support commitment below `confirmed`")
    if config.encoding not in (None, "json", "base64"):
        raise invalid(f"the encoding {config.encoding!r} is not available here; use json or base64")
    record = node.chain.transaction(signature)
    if record is None or record.slot > slot_at(commitment, node.chain.slot):
        return None
    most = config.max_supported_transaction_version
    if record.version is not None and (most is None or record.version > most):
        raise RpcFault(
            VERSION_UNSUPPORTED,
            f"Transaction version ({record.version}) is not supported by the requesting client. Please try the request "
            f'again with the following configuration parameter: "maxSupportedTransactionVersion": {record.version}',
        )
    return transaction_json(
        record,
        as_base64=config.encoding == "base64",
        read=node.chain.account,
        shows_version=most is not None,
    )


def request_airdrop(node: Node, params: Params) -> object:
    """Send lamports from the faucet and return the transfer's signature."""
    to = pubkey_at(params, 0)
    lamports = integer_at(params, 1, "lamports")
    config_at(params, 2, AirdropConfig)
    outcome = node.chain.airdrop(to, Lamports(lamports))
    if isinstance(outcome, Landed):
        return str(outcome.record.signature)
    raise RpcFault(INTERNAL_ERROR, f"the airdrop failed: {err_sentence(outcome.err)}")


def _wanted_accounts(config: SimulateConfig) -> list[Pubkey]:
    if config.accounts is None:
        return []
    if len(config.accounts.addresses) > _MAX_SIMULATED_ACCOUNTS:
        raise RpcFault(INVALID_PARAMS, f"Too many accounts provided; max {_MAX_SIMULATED_ACCOUNTS}")
    if config.accounts.encoding in ("base58", "binary"):
        raise RpcFault(INVALID_PARAMS, "base58 encoding not supported")
    return [pubkey_from(address) for address in config.accounts.addresses]


def _simulation_json(chain: Chain, simulation: Simulation, commitment: Commitment) -> dict[str, object]:
    def read_mint(key: Pubkey) -> Account | None:
        return simulation.accounts.get(key) or chain.account(key, commitment)

    execution = simulation.execution
    value: dict[str, object] = {
        "err": simulation.err,
        "accounts": None,
        "innerInstructions": None,
        "loadedAddresses": loaded_addresses_json(simulation.keys.loaded_writable, simulation.keys.loaded_readonly),
    }
    if execution is None:
        return value | {"logs": [], "unitsConsumed": 0, "returnData": None, "fee": None}
    return value | {
        "logs": execution.logs(),
        "unitsConsumed": execution.units_consumed,
        "returnData": return_data_json(execution.metadata),
        "fee": execution.fee,
        "preBalances": list(simulation.pre_balances),
        "postBalances": list(simulation.post_balances),
        "preTokenBalances": token_balances_json(simulation.pre_token_balances, read_mint),
        "postTokenBalances": token_balances_json(simulation.post_token_balances, read_mint),
    }


def _status_row(chain: Chain, record: TransactionRecord) -> dict[str, object]:
    commitment = commitment_of(record.slot, chain.slot)
    return {
        "slot": record.slot,
        "confirmations": None if commitment == "finalized" else chain.slot - record.slot,
        "err": record.err,
        "status": status_json(record.err),
        "confirmationStatus": commitment,
    }


METHODS: Final[Mapping[str, Method]] = {
    "sendTransaction": send_transaction,
    "simulateTransaction": simulate_transaction,
    "getSignatureStatuses": get_signature_statuses,
    "getTransaction": get_transaction,
    "getFeeForMessage": get_fee_for_message,
    "requestAirdrop": request_airdrop,
}
