"""The written-out addresses are the derived ones."""

import pytest
from solders.pubkey import Pubkey

from slotzero.venues.pumpfun import addresses


@pytest.mark.parametrize(
    ("written", "seeds", "program"),
    [
        (addresses.GLOBAL, [b"global"], addresses.PUMP_PROGRAM),
        (addresses.EVENT_AUTHORITY, [b"__event_authority"], addresses.PUMP_PROGRAM),
        (addresses.MINT_AUTHORITY, [b"mint-authority"], addresses.PUMP_PROGRAM),
        (addresses.GLOBAL_VOLUME_ACCUMULATOR, [b"global_volume_accumulator"], addresses.PUMP_PROGRAM),
        (addresses.FEE_CONFIG, [b"fee_config", bytes(addresses.PUMP_PROGRAM)], addresses.FEE_PROGRAM),
        (addresses.MAYHEM_GLOBAL_PARAMS, [b"global-params"], addresses.MAYHEM_PROGRAM),
        (addresses.MAYHEM_SOL_VAULT, [b"sol-vault"], addresses.MAYHEM_PROGRAM),
    ],
)
def test_written_address_equals_its_derivation(written: Pubkey, seeds: list[bytes], program: Pubkey) -> None:
    assert Pubkey.find_program_address(seeds, program)[0] == written


def test_mayhem_agents_derivation_differs_from_pumps() -> None:
    mint = Pubkey.from_string("5p3goLbxBRJHYkLKRHK4zq42MBgryt4YTB5k7zYKpump")
    assert addresses.curve_v2_address(mint) != addresses.curve_v2_address(mint, addresses.MAYHEM_PROGRAM)
