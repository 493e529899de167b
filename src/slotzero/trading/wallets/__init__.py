"""The wallets of a run: their keys, which of them pays, and where their money comes from and goes to."""

from slotzero.trading.wallets.book import (
    MAX_WALLETS,
    Reservation,
    RotationPolicy,
    WalletBook,
    WalletCaps,
    WalletStanding,
)
from slotzero.trading.wallets.keyfiles import KeyFileError, parse_key, read_key_file
from slotzero.trading.wallets.keys import WalletKey
from slotzero.trading.wallets.keystore import (
    MODERATE,
    KdfCost,
    Keystore,
    KeystoreDamagedError,
    KeystoreError,
    KeystoreWallet,
    WrongPasswordError,
    create_keystore,
    edit_keystore,
    keystore_path,
    open_keystore,
)
from slotzero.trading.wallets.moves import (
    Funding,
    KeptAccount,
    MoveTerms,
    Planned,
    ReclaimPlan,
    plan_funding,
    plan_reclaim,
    plan_sweep,
)
from slotzero.trading.wallets.passwords import PasswordSource, forbid_core_dumps
from slotzero.trading.wallets.remote import KeychainSigner, RemoteSigner, RemoteSignerError
from slotzero.trading.wallets.signers import MessageSigner, WrongSignatureError, sign_with
from slotzero.trading.wallets.treasury import Move, Moves, Treasury, associated_candidates

__all__ = [
    "MAX_WALLETS",
    "MODERATE",
    "Funding",
    "KdfCost",
    "KeptAccount",
    "KeyFileError",
    "KeychainSigner",
    "Keystore",
    "KeystoreDamagedError",
    "KeystoreError",
    "KeystoreWallet",
    "MessageSigner",
    "Move",
    "MoveTerms",
    "Moves",
    "PasswordSource",
    "Planned",
    "ReclaimPlan",
    "RemoteSigner",
    "RemoteSignerError",
    "Reservation",
    "RotationPolicy",
    "Treasury",
    "WalletBook",
    "WalletCaps",
    "WalletKey",
    "WalletStanding",
    "WrongPasswordError",
    "WrongSignatureError",
    "associated_candidates",
    "create_keystore",
    "edit_keystore",
    "forbid_core_dumps",
    "keystore_path",
    "open_keystore",
    "parse_key",
    "plan_funding",
    "plan_reclaim",
    "plan_sweep",
    "read_key_file",
    "sign_with",
]
