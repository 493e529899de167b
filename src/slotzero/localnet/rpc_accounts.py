"""RPC methods that read accounts, each as of the commitment asked for."""

from collections.abc import Mapping
from typing import Final

from slotzero.localnet.node import Method, Node
from slotzero.localnet.params import (
    AccountConfig,
    CommitmentConfig,
    Params,
    checked_context_slot,
    commitment_in,
    config_at,
    list_at,
    pubkey_at,
    pubkey_from,
)
from slotzero.localnet.render import account_json
from slotzero.localnet.rpc_cluster import with_context

__all__ = ["METHODS"]

_MAX_ACCOUNTS: Final = 100


def get_balance(node: Node, params: Params) -> object:
    """Return an account's lamports, 0 when there is none."""
    key = pubkey_at(params, 0)
    config = config_at(params, 1, CommitmentConfig)
    slot = checked_context_slot(node.chain, config)
    account = node.chain.account(key, commitment_in(config))
    return with_context(slot, 0 if account is None else account.lamports)


def get_account_info(node: Node, params: Params) -> object:
    """Return one account."""
    key = pubkey_at(params, 0)
    config = config_at(params, 1, AccountConfig)
    slot = checked_context_slot(node.chain, config)
    return with_context(slot, account_json(node.chain.account(key, commitment_in(config)), config))


def get_multiple_accounts(node: Node, params: Params) -> object:
    """Return up to 100 accounts of one slot, in the order asked for."""
    keys = [pubkey_from(key) for key in list_at(params, 0, "the addresses", most=_MAX_ACCOUNTS)]
    config = config_at(params, 1, AccountConfig)
    if config.encoding is None:
        config = AccountConfig(
            commitment=config.commitment,
            min_context_slot=config.min_context_slot,
            encoding="base64",  # this method's default, unlike getAccountInfo's
            data_slice=config.data_slice,
        )
    slot = checked_context_slot(node.chain, config)
    commitment = commitment_in(config)
    return with_context(slot, [account_json(node.chain.account(key, commitment), config) for key in keys])


METHODS: Final[Mapping[str, Method]] = {
    "getBalance": get_balance,
    "getAccountInfo": get_account_info,
    "getMultipleAccounts": get_multiple_accounts,
}
