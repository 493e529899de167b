"""What keeps a configuration from trading live, one sentence each, and which wallets trade."""

from pathlib import Path

import pytest

from slotzero.config import ClusterSettings, LimitsSettings, SafetySettings, Settings, WalletsSettings
from slotzero.secret import Secret
from slotzero.trading.wallets import KdfCost, create_keystore, open_keystore
from slotzero.units import Lamports
from slotzero.workloads.live_run import _signers, live_problems
from wallet_lab import wallet_key

ENDPOINTS = ClusterSettings(rpc_url="https://node.invalid", ws_url="wss://node.invalid")
LIMITS = {name: Lamports(10**9) for name in ("trade_lamports", "hour_lamports", "day_lamports")}


def test_endpoints_limits_and_the_whole_gate_are_enough() -> None:
    assert live_problems(Settings(cluster=ENDPOINTS, limits=LimitsSettings(**LIMITS))) == []


def test_defaults_lack_endpoints_and_limits_and_say_both() -> None:
    first, second = live_problems(Settings())
    assert "rpc_url" in first
    assert "trade_lamports, hour_lamports, day_lamports" in second


@pytest.mark.parametrize("missing", LIMITS)
def test_each_limit_alone_is_asked_for(missing: str) -> None:
    limits = LimitsSettings(**{**LIMITS, missing: Lamports(0)})
    (problem,) = live_problems(Settings(cluster=ENDPOINTS, limits=limits))
    assert problem.startswith(f"[limits] {missing}:")


@pytest.mark.parametrize("gate", ["facts", "none"])
def test_gate_that_lets_traps_through_is_refused(gate: str) -> None:
    safety = SafetySettings(gate=gate)  # type: ignore[arg-type] # one of the two
    (problem,) = live_problems(Settings(cluster=ENDPOINTS, limits=LimitsSettings(**LIMITS), safety=safety))
    assert f'gate is "{gate}"' in problem


def test_wallet_that_is_named_twice_trades_once(tmp_path: Path) -> None:
    path, password = tmp_path / "keys" / "keystore.json", Secret("twelve words or so")
    cost = KdfCost(ops_limit=1, memory_bytes=8_192)
    create_keystore(path, password, {"a": wallet_key(1), "b": wallet_key(2)}, cost=cost)
    settings = Settings(wallets=WalletsSettings(names=("b", "a", "b")))
    with open_keystore(path, password) as keystore:
        signers = _signers(keystore, settings)
    assert [signer.pubkey for signer in signers] == [wallet_key(2).address, wallet_key(1).address]
