from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from slotzero.localnet import programs
from slotzero.localnet.programs.keys import PUMP_ADDRESSES, decode_base58, discriminator, pump_header
from slotzero.solana import addresses as solana
from slotzero.venues.pumpfun import addresses as pump


def test_header_is_the_checked_in_one() -> None:
    assert (Path(programs.__file__).parent / "pump" / "keys.h").read_text() == pump_header()


def test_addresses_are_those_the_bot_uses() -> None:
    assert {name: Pubkey.from_string(address) for name, address in PUMP_ADDRESSES.items()} == {
        "PUMP_PROGRAM": pump.PUMP_PROGRAM,
        "GLOBAL_ACCOUNT": pump.GLOBAL,
        "EVENT_AUTHORITY": pump.EVENT_AUTHORITY,
        "MINT_AUTHORITY": pump.MINT_AUTHORITY,
        "GLOBAL_VOLUME_ACCOUNT": pump.GLOBAL_VOLUME_ACCUMULATOR,
        "FEE_PROGRAM": pump.FEE_PROGRAM,
        "FEE_CONFIG_ACCOUNT": pump.FEE_CONFIG,
        "MAYHEM_PROGRAM": pump.MAYHEM_PROGRAM,
        "SYSTEM_PROGRAM": solana.SYSTEM_PROGRAM,
        "TOKEN_PROGRAM": solana.TOKEN_PROGRAM,
        "TOKEN_2022_PROGRAM": solana.TOKEN_2022_PROGRAM,
        "ATA_PROGRAM": solana.ATA_PROGRAM,
        "WSOL_MINT": solana.WSOL_MINT,
    }


@pytest.mark.parametrize("address", PUMP_ADDRESSES.values())
def test_decode_base58_agrees_with_solders(address: str) -> None:
    assert decode_base58(address) == bytes(Pubkey.from_string(address))


@pytest.mark.parametrize("text", ["0OIl", "z" * 60])
def test_decode_base58_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"substring not found|32 bytes"):
        decode_base58(text)


@pytest.mark.parametrize("seed", ["mint-authority", "__event_authority"])
def test_addresses_the_program_signs_for_have_the_bump_it_assumes(seed: str) -> None:
    assert Pubkey.find_program_address([seed.encode()], pump.PUMP_PROGRAM)[1] == 255


def test_discriminators_are_the_public_ones() -> None:
    assert discriminator("global:buy").hex() == "66063d1201daebea"
    assert discriminator("event:TradeEvent").hex() == "bddb7fd34ee661ee"
    assert "#define EVENT_INSTRUCTION 0x1d9acb512ea545e4ULL" in pump_header()
