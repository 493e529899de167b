"""The layer that judges what stands in the mint: authorities and extensions. *Pure.*

Facts outlive a simulation: a coin sells perfectly until somebody freezes the buyer, raises the fee or burns the
tokens. So this layer asks who *could* do so, not whether it has happened. Extensions are judged by an allow-list:
what a venue's coins are known to carry, and nothing else. An extension on the list is still judged by its values, and
a type nobody here knows is refused.

A transfer fee is judged by the higher of its two rates, whatever the epoch: the chain's epoch would cost a call, and
a fee that begins tomorrow is no better than one of today.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.safety.reader import AccountView
from slotzero.safety.records import Decision, Evidence
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.token import (
    CONFIDENTIAL_FAMILY,
    AccountState,
    DefaultAccountState,
    Extension,
    ExtensionType,
    MetadataPointer,
    Mint,
    MintCloseAuthority,
    NonTransferable,
    OpaqueExtension,
    Pausable,
    PermanentDelegate,
    TokenMetadata,
    TransferFeeConfig,
    TransferHook,
    UnknownExtension,
    extension_name,
    parse_mint,
)
from slotzero.venues.records import NewPool

__all__ = ["LAYER", "MINT_POLICIES", "STRICT_POLICY", "MintPolicy", "judge_mint"]

LAYER: Final = "mint_facts"


class MintPolicy(Struct, frozen=True, kw_only=True):
    """What a venue's honest coins look like.

    Attributes:
        token_programs: The programs its coins may belong to.
        mint_authorities: Authorities of the venue itself that may stay on a mint. Anyone else's is refused.
        freeze_authorities: Likewise.
        extensions: The Token-2022 types its coins may carry; values are judged all the same.
    """

    token_programs: frozenset[Pubkey]
    mint_authorities: frozenset[Pubkey]
    freeze_authorities: frozenset[Pubkey]
    extensions: frozenset[int]


STRICT_POLICY: Final = MintPolicy(
    token_programs=frozenset({TOKEN_PROGRAM, TOKEN_2022_PROGRAM}),
    mint_authorities=frozenset(),
    freeze_authorities=frozenset(),
    extensions=frozenset({ExtensionType.METADATA_POINTER, ExtensionType.TOKEN_METADATA}),
)
"""No authority left, and no extension but the two that hold a name. What every venue without a row of its own gets."""

MINT_POLICIES: Final[Mapping[str, MintPolicy]] = {
    # create_v2 makes Token-2022 mints with exactly these two extensions, `create` classic ones; both give up the mint
    # authority in the creating transaction and never set a freeze authority.
    "pumpfun": STRICT_POLICY,
}


def judge_mint(
    mint: AccountView | None, pool: NewPool, pool_account: AccountView | None, policy: MintPolicy
) -> tuple[Evidence, ...]:
    """Judge a pool's mint by what stands in it. *Pure.* About 15 us.

    Args:
        mint: The mint's account, or None where the node knows none.
        pool: The pool as it was announced.
        pool_account: The pool's account as read beside the mint.
        policy: What the venue's honest coins look like.

    Returns:
        Every objection and every note found; a single "passed" where there is no objection and no note. A mint that
        is not there is UNSURE (the node may lag behind the feed); everything else that is wrong is DENY.
    """
    if mint is None or pool_account is None:
        which, key = ("mint", pool.mint) if mint is None else ("pool", pool.pool)
        return (_evidence("UNSURE", f"{which}_missing", f"the node does not know the {which} account {key} yet"),)
    if mint.owner != pool.token_program:
        told = f"the mint is owned by {mint.owner}, the pool was announced with {pool.token_program}"
        return (_evidence("DENY", "mint_owner", told),)
    try:
        parsed = parse_mint(mint.data, mint.owner)
    except MalformedError as error:
        return (_evidence("DENY", "mint_malformed", str(error)),)
    found = [*_judge_base(parsed, pool, policy)]
    for extension in parsed.extensions:
        found.extend(_judge_extension(extension, pool.mint, policy))
    return tuple(found) or (
        _evidence("ALLOW", "passed", f"no authority is left and {len(parsed.extensions)} extensions are harmless"),
    )


def _judge_base(mint: Mint, pool: NewPool, policy: MintPolicy) -> list[Evidence]:
    found: list[Evidence] = []
    if mint.token_program not in policy.token_programs:
        found.append(_evidence("DENY", "token_program", f"{pool.venue} has no coins of {mint.token_program}"))
    if mint.mint_authority is not None and mint.mint_authority not in policy.mint_authorities:
        found.append(_evidence("DENY", "mint_authority", f"{mint.mint_authority} may create more tokens"))
    if mint.freeze_authority is not None and mint.freeze_authority not in policy.freeze_authorities:
        found.append(_evidence("DENY", "freeze_authority", f"{mint.freeze_authority} may freeze any holder"))
    if mint.supply > pool.token_supply:
        told = f"{mint.supply} tokens exist, {pool.token_supply} were announced"
        found.append(_evidence("DENY", "supply", told))
    return found


def _judge_extension(extension: Extension, mint: Pubkey, policy: MintPolicy) -> list[Evidence]:
    danger = _danger(extension)
    if danger is not None:
        return [_evidence("DENY", *danger)]
    if extension.kind not in policy.extensions:
        told = f"the mint carries {extension_name(extension.kind)}, which this venue's coins do not"
        return [_evidence("DENY", "extension_not_allowed", told)]
    return _notes(extension, mint)


def _danger(extension: Extension) -> tuple[str, str] | None:  # noqa: C901, PLR0912 - one flat row per type
    """Return reason and detail where an extension's values can rob a holder, whatever the allow-list says."""
    found: tuple[str, str] | None = None
    match extension:
        case MetadataPointer() | TokenMetadata():
            pass  # what nearly every coin has, so it is looked for first
        case TransferFeeConfig(config_authority=authority, older=older, newer=newer):
            if authority is not None or older.bps or newer.bps:
                told = f"a transfer withholds {older.bps} bps, {newer.bps} from epoch {newer.epoch} on"
                found = "transfer_fee", f"{told}; who may change it: {_who(authority)}"
        case PermanentDelegate(delegate=Pubkey() as delegate):
            found = "permanent_delegate", f"{delegate} may move or burn anyone's tokens"
        case TransferHook(authority=authority, program=program):
            if authority is not None or program is not None:
                found = "transfer_hook", f"a transfer calls {_who(program)}; who may change it: {_who(authority)}"
        case DefaultAccountState(state=AccountState.FROZEN):
            found = "default_frozen", "a new token account starts frozen"
        case NonTransferable():
            found = "non_transferable", "the tokens cannot be moved"
        case Pausable(authority=authority, is_paused=is_paused):
            if authority is not None or is_paused:
                told = "transfers are paused" if is_paused else "transfers can be paused"
                found = "pausable", f"{told}; who may do so: {_who(authority)}"
        case MintCloseAuthority(authority=Pubkey() as authority):
            found = "mint_close_authority", f"{authority} may close the mint and create another in its place"
        case OpaqueExtension(kind=kind) if kind in CONFIDENTIAL_FAMILY:
            found = "confidential", f"{extension_name(kind)} hides balances or the supply"
        case UnknownExtension(kind=number):
            found = "extension_unknown", f"nothing is known of the extension of type {number}"
        case _:
            pass
    return found


def _notes(extension: Extension, mint: Pubkey) -> list[Evidence]:
    """Return what is worth knowing of a harmless extension."""
    match extension:
        case TokenMetadata(update_authority=Pubkey() as authority):
            return [_evidence("ALLOW", "metadata_mutable", f"{authority} may change the coin's names")]
        case MetadataPointer(authority=Pubkey() as authority):
            return [_evidence("ALLOW", "metadata_mutable", f"{authority} may point to other metadata")]
        case MetadataPointer(address=address) if address != mint:
            return [_evidence("ALLOW", "metadata_elsewhere", f"the metadata lies at {_who(address)}, not in the mint")]
        case _:
            return []


def _who(key: Pubkey | None) -> str:
    return "nobody" if key is None else str(key)


def _evidence(decision: Decision, reason: str, detail: str) -> Evidence:
    return Evidence(layer=LAYER, decision=decision, reason=reason, detail=detail)
