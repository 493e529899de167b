"""RPC methods about tokens: balances, supplies, and who holds what, out of the chain's indexes."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.localnet.chain import Chain
from slotzero.localnet.commitments import Commitment
from slotzero.localnet.execution import token_balances
from slotzero.localnet.node import Method, Node
from slotzero.localnet.params import (
    INVALID_PARAMS,
    AccountConfig,
    CommitmentConfig,
    Params,
    RpcFault,
    checked_context_slot,
    commitment_in,
    config_at,
    invalid,
    pubkey_at,
    pubkey_from,
)
from slotzero.localnet.render import account_json, decimals_of, ui_amount_json
from slotzero.localnet.rpc_cluster import with_context
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.token import Mint, parse_mint

__all__ = ["METHODS"]

_MOST_LARGEST: Final = 20


class TokenFilter(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which token accounts of an owner are wanted: those for a mint, or those of a token program."""

    mint: str | None = None
    program_id: str | None = None


def get_token_account_balance(node: Node, params: Params) -> object:
    """Return a token account's balance in its mint's decimals."""
    key = pubkey_at(params, 0)
    config = config_at(params, 1, CommitmentConfig)
    slot = checked_context_slot(node.chain, config)
    commitment = commitment_in(config)
    account = node.chain.account(key, commitment)
    if account is None:
        raise RpcFault(INVALID_PARAMS, "Invalid param: could not find account")
    balances = token_balances([account])
    if not balances:
        raise RpcFault(INVALID_PARAMS, "Invalid param: not a Token account")
    mint = node.chain.account(balances[0].mint, commitment)
    if mint is None:
        raise RpcFault(INVALID_PARAMS, "Invalid param: could not find mint")
    return with_context(slot, ui_amount_json(balances[0].amount, decimals_of(mint)))


def get_token_supply(node: Node, params: Params) -> object:
    """Return a mint's supply in its decimals."""
    key = pubkey_at(params, 0)
    config = config_at(params, 1, CommitmentConfig)
    slot = checked_context_slot(node.chain, config)
    mint = _mint(node.chain, key, commitment_in(config))
    return with_context(slot, ui_amount_json(mint.supply, mint.decimals))


def get_token_largest_accounts(node: Node, params: Params) -> object:
    """Return the 20 largest token accounts for a mint, largest first; equal ones by address."""
    key = pubkey_at(params, 0)
    config = config_at(params, 1, CommitmentConfig)
    slot = checked_context_slot(node.chain, config)
    commitment = commitment_in(config)
    mint = _mint(node.chain, key, commitment)
    holdings = node.chain.token_accounts_holding(key, commitment)
    holdings.sort(key=lambda holding: (-holding.balance.amount, bytes(holding.key)))
    rows = [
        {"address": str(holding.key), **ui_amount_json(holding.balance.amount, mint.decimals)}
        for holding in holdings[:_MOST_LARGEST]
    ]
    return with_context(slot, rows)


def get_token_accounts_by_owner(node: Node, params: Params) -> object:
    """Return the token accounts of an owner, for one mint or of one token program, by address."""
    owner = pubkey_at(params, 0)
    wanted = config_at(params, 1, TokenFilter)
    config = config_at(params, 2, AccountConfig)
    slot = checked_context_slot(node.chain, config)
    commitment = commitment_in(config)
    holdings = node.chain.token_accounts_of(owner, commitment)
    match wanted:
        case TokenFilter(mint=str(text), program_id=None):
            mint = pubkey_from(text)
            _mint(node.chain, mint, commitment)
            holdings = [holding for holding in holdings if holding.balance.mint == mint]
        case TokenFilter(mint=None, program_id=str(text)):
            program = pubkey_from(text)
            if program not in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
                raise RpcFault(INVALID_PARAMS, "Invalid param: unrecognized Token program id")
            holdings = [holding for holding in holdings if holding.account.owner == program]
        case _:
            raise invalid('expected either {"mint": ADDRESS} or {"programId": ADDRESS}')
    holdings.sort(key=lambda holding: bytes(holding.key))
    rows = [{"pubkey": str(holding.key), "account": account_json(holding.account, config)} for holding in holdings]
    return with_context(slot, rows)


def _mint(chain: Chain, key: Pubkey, commitment: Commitment) -> Mint:
    account = chain.account(key, commitment)
    if account is None:
        raise RpcFault(INVALID_PARAMS, "Invalid param: could not find mint")
    try:
        return parse_mint(account.data, account.owner)
    except MalformedError as error:
        raise RpcFault(INVALID_PARAMS, f"Invalid param: not a Token mint ({error})") from error


METHODS: Final[Mapping[str, Method]] = {
    "getTokenAccountBalance": get_token_account_balance,
    "getTokenSupply": get_token_supply,
    "getTokenLargestAccounts": get_token_largest_accounts,
    "getTokenAccountsByOwner": get_token_accounts_by_owner,
}
