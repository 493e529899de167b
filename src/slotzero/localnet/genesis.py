"""What a chain holds before its first transaction: the pump program, its settings accounts, and a faucet.

Everything is built from the public account layouts and from one seed: the same seed gives the same accounts. The
settings are mainnet's of 2026-10-10 except for the keys, which are ours, and for two switches: mayhem and cashback
coins cannot be created here, so Global says so.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from slotzero.localnet.programs import load
from slotzero.solana.addresses import (
    ATA_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    WSOL_MINT,
)
from slotzero.solana.svm import Svm
from slotzero.solana.tips import TIP_ACCOUNTS
from slotzero.units import LAMPORTS_PER_SOL, Lamports
from slotzero.venues.pumpfun.accounts import FEE_CONFIG_DISCRIMINATOR, GLOBAL_DISCRIMINATOR
from slotzero.venues.pumpfun.addresses import FEE_CONFIG, FEE_PROGRAM, GLOBAL, MAYHEM_SOL_VAULT, PUMP_PROGRAM
from slotzero.venues.pumpfun.quote import USDC_MINT

__all__ = [
    "BUNDLED_PROGRAMS",
    "CLUSTER_OWNERS",
    "FAUCET_LAMPORTS",
    "Genesis",
    "derive",
    "fee_config_data",
    "fixed_keys",
    "genesis_accounts",
    "global_data",
    "install",
]

FAUCET_LAMPORTS: Final = Lamports(500_000_000 * LAMPORTS_PER_SOL)
"""About as much as there is on mainnet. LiteSVM's own airdrop silently refuses large amounts and has a random key."""

_LOOKUP_TABLE_PROGRAM: Final = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
_STAKE_PROGRAM: Final = Pubkey.from_string("Stake11111111111111111111111111111111111111")
_MEMO_PROGRAM: Final = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
_MEMO_1_PROGRAM: Final = Pubkey.from_string("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")

BUNDLED_PROGRAMS: Final[Mapping[Pubkey, str]] = {
    TOKEN_PROGRAM: "53e587eee80c786bcfba1450397d92179a0f01def776d19fb4ddf690d64431cc",
    TOKEN_2022_PROGRAM: "495e9d7680dd555cb126a6a8e5464af5be9b01f02f2cd70634352722d22e3cad",
    ATA_PROGRAM: "6804554e69fd3a58caa191dc4a58f4c67223d30ca28ab8987f39fc18d2f7374d",
    _LOOKUP_TABLE_PROGRAM: "e264e1537c5ee1252aae1fa476c25000b641357bc6af4efab65f314160a99570",
    _STAKE_PROGRAM: "c9cba7f3d9fe0fac1f32e7a5e012284104a25d27ec97d6eb6d99a3afcd2352a8",
    _MEMO_PROGRAM: "0c92063c6838d9ad8af50aaefea9a166b5bb41a2bfa2bc6327d7db320849bc78",
    _MEMO_1_PROGRAM: "67053ed6b0c4b2ff0cead4dc469b2dd30847264b28164ef5e5263d5cf1258c6e",
}
"""SHA-256 of the programs the VM of solders 0.29.0 comes with, by address. What a token does here is decided by them,
not by us: an upgrade of solders that brings other ones must be noticed, and a test compares them."""

CLUSTER_OWNERS: Final = frozenset(
    Pubkey.from_string(text)
    for text in (
        "NativeLoader1111111111111111111111111111111",
        "BPFLoader1111111111111111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "LoaderV411111111111111111111111111111111111",
        "Sysvar1111111111111111111111111111111111111",
        "Feature111111111111111111111111111111111111",
        "Config1111111111111111111111111111111111111",
    )
)
"""Who owns programs and their data, sysvars, features and the cluster's settings."""

_RECIPIENTS: Final = 8
"""Fee recipients, reserved (mayhem) recipients and buyback recipients; of the first two, one is the main one."""

_INITIAL_VIRTUAL_TOKEN: Final = 1_073_000_000_000_000
_INITIAL_VIRTUAL_QUOTE: Final = 30_000_000_000
_INITIAL_REAL_TOKEN: Final = 793_100_000_000_000
_TOKEN_SUPPLY: Final = 1_000_000_000_000_000
_PROTOCOL_BPS: Final = 95
_LEGACY_CREATOR_BPS: Final = 5
_CREATOR_BPS: Final = 30
_BUYBACK_BPS: Final = 5_000
_POOL_MIGRATION_FEE: Final = 15_000_001
_INITIAL_VIRTUAL_USDC: Final = 4_292_000_000
_MAX_CREATOR_BPS: Final = 300

_GLOBAL: Final = struct.Struct("<8sB32s32s5Q32sBQQ224s32s32sB32s32sB224sB256sQQ32sBQ32sBB")
_FEES: Final = struct.Struct("<3Q")
_FEE_CONFIG_SIZE: Final = 4097
_MINT: Final = struct.Struct("<I32sQBBI32s")
_WSOL_DECIMALS: Final = 9
_ON: Final = 1
_OFF: Final = 0


class Genesis(Struct, frozen=True, kw_only=True):
    """Who is who on a new chain; all of it follows from the seed.

    Attributes:
        faucet: Pays for everything that is given away. Its key is no secret: whoever knows the seed has it.
        authority: The settings' owner; nothing here needs its signature.
        fee_recipients: Who may receive the protocol fee, the main one first.
        reserved_fee_recipients: The same for mayhem coins.
        buyback_recipients: Who may receive the buyback share of it.
    """

    faucet: Keypair
    authority: Pubkey
    fee_recipients: tuple[Pubkey, ...]
    reserved_fee_recipients: tuple[Pubkey, ...]
    buyback_recipients: tuple[Pubkey, ...]


def _keypair(seed: int, role: str, index: int = 0) -> Keypair:
    return Keypair.from_seed(hashlib.sha256(f"slotzero localnet {seed} {role} {index}".encode()).digest())


def _recipients(seed: int, role: str) -> tuple[Pubkey, ...]:
    return tuple(_keypair(seed, role, index).pubkey() for index in range(_RECIPIENTS))


def derive(seed: int) -> Genesis:
    """Return who is who on the chain of `seed`. *Pure.*"""
    return Genesis(
        faucet=_keypair(seed, "faucet"),
        authority=_keypair(seed, "authority").pubkey(),
        fee_recipients=_recipients(seed, "fee recipient"),
        reserved_fee_recipients=_recipients(seed, "reserved fee recipient"),
        buyback_recipients=_recipients(seed, "buyback recipient"),
    )


def install(svm: Svm, seed: int) -> Genesis:
    """Place the program and the genesis accounts in a new VM and return who is who.

    Set the VM's rent and clock before: the accounts hold the rent of that moment, and events carry the clock's time.

    Raises:
        LocalnetError: The installed package is damaged.
    """
    genesis = derive(seed)
    svm.add_program(PUMP_PROGRAM, load("pump"))
    for key, account in genesis_accounts(genesis, svm.rent_exempt_minimum):
        svm.set_account(key, account)
    return genesis


def genesis_accounts(genesis: Genesis, rent: Callable[[int], int]) -> Iterator[tuple[Pubkey, Account]]:
    """Yield every account a new chain holds besides its programs, as address and account. *Pure.*

    The recipients hold rent because a small fee into an empty wallet fails the whole trade
    (`InsufficientFundsForRent`). WSOL's mint is not bundled with the VM although every v2 trade names it.

    Args:
        genesis: From `derive`.
        rent: What an account of so many bytes must hold, in lamports.
    """

    def holding(data: bytes, owner: Pubkey) -> Account:
        return Account(rent(len(data)), data, owner)

    yield GLOBAL, holding(global_data(genesis), PUMP_PROGRAM)
    yield FEE_CONFIG, holding(fee_config_data(genesis), FEE_PROGRAM)
    yield WSOL_MINT, holding(_MINT.pack(0, b"", 0, _WSOL_DECIMALS, _ON, 0, b""), TOKEN_PROGRAM)
    for key in (*genesis.fee_recipients, *genesis.reserved_fee_recipients, *genesis.buyback_recipients):
        yield key, holding(b"", SYSTEM_PROGRAM)
    for key in TIP_ACCOUNTS:  # a first tip into nothing would be below the rent and fail its transaction
        yield key, holding(b"", SYSTEM_PROGRAM)
    yield genesis.faucet.pubkey(), Account(FAUCET_LAMPORTS, b"", SYSTEM_PROGRAM)


def fixed_keys(genesis: Genesis) -> frozenset[Pubkey]:
    """Return the addresses of `genesis_accounts`: without one of them trades on the chain would fail. *Pure.*"""
    return frozenset(key for key, _ in genesis_accounts(genesis, lambda _: 1))


def global_data(genesis: Genesis) -> bytes:
    """Return the pump program's Global account, 1,088 bytes. *Pure.*"""
    authority = bytes(genesis.authority)
    main, *others = genesis.fee_recipients
    reserved, *more_reserved = genesis.reserved_fee_recipients
    return _GLOBAL.pack(
        GLOBAL_DISCRIMINATOR,
        _ON,  # is initialized
        authority,
        bytes(main),
        _INITIAL_VIRTUAL_TOKEN,
        _INITIAL_VIRTUAL_QUOTE,
        _INITIAL_REAL_TOKEN,
        _TOKEN_SUPPLY,
        _PROTOCOL_BPS,
        authority,  # withdraws
        _ON,  # migration is enabled
        _POOL_MIGRATION_FEE,
        _LEGACY_CREATOR_BPS,
        _joined(others),
        authority,  # sets creators
        authority,  # sets creators as administrator
        _ON,  # create_v2 is enabled
        bytes(MAYHEM_SOL_VAULT),  # the address exempt from fees
        bytes(reserved),
        _OFF,  # mayhem coins: the program cannot create them
        _joined(more_reserved),
        _OFF,  # cashback coins: likewise
        _joined(genesis.buyback_recipients),
        _BUYBACK_BPS,
        _INITIAL_VIRTUAL_USDC,
        bytes(USDC_MINT),
        _ON,  # creators may configure their fee (not on curves priced in SOL)
        _MAX_CREATOR_BPS,
        authority,  # claims holder rewards
        _ON,  # holder rewards are enabled
        _ON,  # newer than the published description; mainnet's value
    )


def fee_config_data(genesis: Genesis) -> bytes:
    """Return the fee program's schedule for the curve, 4,097 bytes: one tier, the same for every quote. *Pure.*"""
    bump = Pubkey.find_program_address([b"fee_config", bytes(PUMP_PROGRAM)], FEE_PROGRAM)[1]
    fees = _FEES.pack(0, _PROTOCOL_BPS, _CREATOR_BPS)
    tiers = (1).to_bytes(4, "little") + (0).to_bytes(16, "little") + fees  # from a market capitalisation of 0
    data = FEE_CONFIG_DISCRIMINATOR + bytes([bump]) + bytes(genesis.authority) + fees + tiers + tiers + fees
    return data.ljust(_FEE_CONFIG_SIZE, b"\0")


def _joined(keys: Sequence[Pubkey]) -> bytes:
    return b"".join(bytes(key) for key in keys)
