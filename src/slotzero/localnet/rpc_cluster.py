"""RPC methods about the cluster: health, version, slots, blockhashes, rent."""

from collections.abc import Mapping
from typing import Final

from slotzero import __version__
from slotzero.localnet.node import Method, Node
from slotzero.localnet.params import (
    CommitmentConfig,
    Params,
    checked_context_slot,
    commitment_in,
    config_at,
    hash_at,
    integer_at,
)
from slotzero.solana.svm import SLOTS_PER_EPOCH
from slotzero.units import Slot

__all__ = ["API_VERSION", "METHODS", "with_context"]

API_VERSION: Final = "4.1.2"
"""The Agave release inside the VM."""
_FEATURE_SET: Final = 20260729
"""Any number: ours names the day of the mainnet feature set the VM carries."""
_MAX_ACCOUNT_BYTES: Final = 10 * 1024 * 1024


def with_context(slot: Slot, value: object) -> dict[str, object]:
    """Return a result with the slot it is true for."""
    return {"context": {"slot": slot, "apiVersion": API_VERSION}, "value": value}


def get_health(_node: Node, _params: Params) -> object:
    """Answer that all is well: this node is never behind, it is the cluster."""
    return "ok"


def get_version(_node: Node, _params: Params) -> object:
    """Return the versions; `slotzero-localnet` tells a client that it is not on a real cluster."""
    return {"solana-core": API_VERSION, "feature-set": _FEATURE_SET, "slotzero-localnet": __version__}


def get_genesis_hash(node: Node, _params: Params) -> object:
    """Return the chain's name."""
    return str(node.chain.genesis_hash)


def get_slot(node: Node, params: Params) -> object:
    """Return the newest slot of a commitment."""
    return checked_context_slot(node.chain, config_at(params, 0, CommitmentConfig))


def get_block_height(node: Node, params: Params) -> object:
    """Return the newest block height of a commitment."""
    config = config_at(params, 0, CommitmentConfig)
    checked_context_slot(node.chain, config)
    return node.chain.block_at(commitment_in(config)).height


def get_latest_blockhash(node: Node, params: Params) -> object:
    """Return the newest blockhash of a commitment and the last block height it is good for."""
    config = config_at(params, 0, CommitmentConfig)
    slot = checked_context_slot(node.chain, config)
    block = node.chain.block_at(commitment_in(config))
    return with_context(slot, {"blockhash": str(block.blockhash), "lastValidBlockHeight": block.last_valid_height})


def is_blockhash_valid(node: Node, params: Params) -> object:
    """Tell whether a blockhash is still good."""
    blockhash = hash_at(params, 0)
    config = config_at(params, 1, CommitmentConfig)
    slot = checked_context_slot(node.chain, config)
    return with_context(slot, node.chain.is_blockhash_valid(blockhash, commitment_in(config)))


def get_minimum_balance_for_rent_exemption(node: Node, params: Params) -> object:
    """Return what an account of so many bytes must hold."""
    return node.chain.svm.rent_exempt_minimum(integer_at(params, 0, "the account's size", most=_MAX_ACCOUNT_BYTES))


def get_epoch_info(node: Node, params: Params) -> object:
    """Return where in its epoch the newest slot of a commitment is."""
    config = config_at(params, 0, CommitmentConfig)
    slot = checked_context_slot(node.chain, config)
    epoch, index = divmod(slot, SLOTS_PER_EPOCH)
    return {
        "absoluteSlot": slot,
        "blockHeight": node.chain.block_at(commitment_in(config)).height,
        "epoch": epoch,
        "slotIndex": index,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": node.chain.transaction_count,
    }


METHODS: Final[Mapping[str, Method]] = {
    "getHealth": get_health,
    "getVersion": get_version,
    "getGenesisHash": get_genesis_hash,
    "getSlot": get_slot,
    "getBlockHeight": get_block_height,
    "getLatestBlockhash": get_latest_blockhash,
    "isBlockhashValid": is_blockhash_valid,
    "getEpochInfo": get_epoch_info,
    "getMinimumBalanceForRentExemption": get_minimum_balance_for_rent_exemption,
}
