"""RPC methods that look back: an address's transactions, recent prices, blocks."""

from collections.abc import Mapping
from typing import Final

from solders.pubkey import Pubkey

from slotzero.localnet.chain import Chain
from slotzero.localnet.commitments import Commitment, commitment_of, slot_at
from slotzero.localnet.history import TransactionRecord
from slotzero.localnet.node import Method, Node
from slotzero.localnet.params import (
    BLOCK_CLEANED_UP,
    BLOCK_NOT_AVAILABLE,
    CURSOR_NOT_FOUND,
    INVALID_PARAMS,
    CommitmentConfig,
    Params,
    RpcFault,
    checked_context_slot,
    config_at,
    integer_at,
    list_at,
    pubkey_at,
    pubkey_from,
    signature_from,
)
from slotzero.units import Slot

__all__ = ["METHODS"]

_MAX_SIGNATURES: Final = 1_000
_MAX_PRICED_ACCOUNTS: Final = 128
_MAX_BLOCKS: Final = 500_000
_MEMO_PROGRAMS: Final = (
    Pubkey.from_string("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
    Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
)


class SignaturesConfig(CommitmentConfig, frozen=True, kw_only=True, rename="camel"):
    """The options of getSignaturesForAddress."""

    before: str | None = None
    until: str | None = None
    limit: int | None = None


def get_signatures_for_address(node: Node, params: Params) -> object:
    """Return the transactions that mention an address, newest first, as far back as the history reaches."""
    key = pubkey_at(params, 0)
    config = config_at(params, 1, SignaturesConfig)
    checked_context_slot(node.chain, config)
    limit = _MAX_SIGNATURES if config.limit is None else config.limit
    if not 0 < limit <= _MAX_SIGNATURES:
        raise RpcFault(INVALID_PARAMS, f"Invalid limit; max {_MAX_SIGNATURES}")
    records = node.chain.transactions_mentioning(
        key,
        commitment=_settled(config.commitment),
        limit=limit,
        before=_cursor(node.chain, config.before),
        until=_cursor(node.chain, config.until),
    )
    return [
        {
            "signature": str(record.signature),
            "slot": record.slot,
            "err": record.err,
            "memo": _memo(record),
            "blockTime": record.unix_timestamp,
            "confirmationStatus": commitment_of(record.slot, node.chain.slot),
        }
        for record in records
    ]


def get_recent_prioritization_fees(node: Node, params: Params) -> object:
    """Return for each of the last 150 slots the lowest price of a transaction that write-locked all the accounts."""
    has_keys = bool(params) and params[0] is not None
    keys = list_at(params, 0, "the addresses", most=_MAX_PRICED_ACCOUNTS) if has_keys else []
    lowest = node.chain.lowest_prices([pubkey_from(key) for key in keys])
    return [{"slot": slot, "prioritizationFee": price} for slot, price in lowest]


def get_blocks(node: Node, params: Params) -> object:
    """Return the slots of the blocks between two slots, as far back as blocks are kept."""
    first = integer_at(params, 0, "the first slot")
    # The options may stand in the place of the last slot.
    has_last = len(params) > 1 and isinstance(params[1], int)
    last = integer_at(params, 1, "the last slot") if has_last else first + _MAX_BLOCKS
    config = config_at(params, 2 if has_last or len(params) > 2 else 1, CommitmentConfig)  # noqa: PLR2004
    if last - first > _MAX_BLOCKS:
        raise RpcFault(INVALID_PARAMS, f"Slot range too large; max {_MAX_BLOCKS}")
    newest = slot_at(_settled(config.commitment), node.chain.slot)
    return list(range(max(first, node.chain.oldest_block.slot), min(last, newest) + 1))


def get_block_time(node: Node, params: Params) -> object:
    """Return the second a block was made in."""
    slot = Slot(integer_at(params, 0, "a slot"))
    oldest = node.chain.oldest_block.slot
    if slot < oldest:
        message = f"Block {slot} cleaned up, does not exist on node. First available block: {oldest}"
        raise RpcFault(BLOCK_CLEANED_UP, message)
    block = node.chain.block_of(slot)
    if block is None:
        raise RpcFault(BLOCK_NOT_AVAILABLE, f"Block not available for slot {slot}")
    return block.unix_timestamp


def _settled(commitment: Commitment | None) -> Commitment:
    if commitment == "processed":
        raise RpcFault(INVALID_PARAMS, "Method does not support commitment below `confirmed`")
    return commitment or "finalized"


def _cursor(chain: Chain, text: str | None) -> TransactionRecord | None:
    if text is None:
        return None
    record = chain.transaction(signature_from(text))
    if record is None:
        raise RpcFault(CURSOR_NOT_FOUND, f"Filter transaction {text} not found")
    return record


def _memo(record: TransactionRecord) -> str | None:
    """Return the memos as a node keeps them beside a signature: each with its length."""
    message = record.transaction().message
    keys: list[Pubkey] = message.account_keys
    if not any(program in keys for program in _MEMO_PROGRAMS):
        return None
    memos = []
    for instruction in message.instructions:
        if keys[instruction.program_id_index] in _MEMO_PROGRAMS:
            data = bytes(instruction.data)
            try:
                memos.append(f"[{len(data)}] {data.decode()}")
            except UnicodeDecodeError:
                memos.append(f"[{len(data)}] (unparseable)")
    return "; ".join(memos) or None


METHODS: Final[Mapping[str, Method]] = {
    "getSignaturesForAddress": get_signatures_for_address,
    "getRecentPrioritizationFees": get_recent_prioritization_fees,
    "getBlocks": get_blocks,
    "getBlockTime": get_block_time,
}
