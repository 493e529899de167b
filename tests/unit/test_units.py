import math
from collections.abc import Callable

import pytest

from slotzero import units
from slotzero.units import U64_MAX, as_latency_ms, format_sol

WHOLE: list[tuple[Callable[[int], int], int]] = [
    (units.as_lamports, U64_MAX),
    (units.as_token_amount, U64_MAX),
    (units.as_basis_points, 10_000),
    (units.as_slot, U64_MAX),
    (units.as_block_height, U64_MAX),
    (units.as_compute_units, 1_400_000),
    (units.as_microlamports_per_cu, U64_MAX),
    (units.as_mono_ns, U64_MAX),
    (units.as_duration_ns, U64_MAX),
]


@pytest.mark.parametrize(("constructor", "most"), WHOLE)
def test_whole_number_within_its_range_is_returned_unchanged(constructor: Callable[[int], int], most: int) -> None:
    for value in (0, 1, most):
        assert constructor(value) == value
        assert type(constructor(value)) is int


@pytest.mark.parametrize(("constructor", "most"), WHOLE)
def test_number_outside_its_range_is_refused_with_the_range(constructor: Callable[[int], int], most: int) -> None:
    for value in (-1, most + 1):
        with pytest.raises(ValueError, match=f"must be between 0 and {most}, got {value}$"):
            constructor(value)


@pytest.mark.parametrize(("constructor", "_most"), WHOLE)
@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_what_is_no_whole_number_is_refused(constructor: Callable[[object], int], _most: int, value: object) -> None:
    with pytest.raises(ValueError, match="must be a whole number, got "):
        constructor(value)


@pytest.mark.parametrize("value", [0, 0.0, 1.5, 3])
def test_latency_that_is_finite_becomes_a_float(value: float) -> None:
    assert as_latency_ms(value) == value
    assert type(as_latency_ms(value)) is float


@pytest.mark.parametrize("value", [-0.001, math.inf, -math.inf, math.nan])
def test_latency_that_is_negative_or_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        as_latency_ms(value)


@pytest.mark.parametrize(
    ("lamports", "expected"),
    [
        (0, "0.000000000"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (1_000_000_000, "1.000000000"),
        (-1_500_000_000, "-1.500000000"),
        (U64_MAX, "18446744073.709551615"),
    ],
)
def test_lamports_are_formatted_as_sol_exactly(lamports: int, expected: str) -> None:
    assert format_sol(lamports) == expected
