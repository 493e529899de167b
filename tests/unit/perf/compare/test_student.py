import pytest

from slotzero.perf.compare.student import t_quantile, t_tail


@pytest.mark.parametrize(
    ("chance", "df", "value"),
    [
        (0.975, 1, 12.706204736),
        (0.975, 2, 4.302652730),
        (0.975, 5, 2.570581836),
        (0.995, 11, 3.105806516),
        (0.8, 5, 0.919543781),
        (0.975, 30, 2.042272456),
        (0.975, 100_000, 1.959987708),
    ],
)
def test_quantile_is_the_tables(chance: float, df: int, value: float) -> None:
    assert t_quantile(chance, df) == pytest.approx(value, rel=1e-8)
    assert t_quantile(1 - chance, df) == pytest.approx(-value, rel=1e-8)


def test_quantile_of_the_middle_is_zero() -> None:
    assert t_quantile(0.5, 7) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("df", [1, 2, 5, 30])
@pytest.mark.parametrize("t", [-3.0, -0.5, 0.0, 0.7, 2.0, 9.0])
def test_tail_inverts_the_quantile_and_is_symmetric(t: float, df: int) -> None:
    assert t_tail(t, df) + t_tail(-t, df) == pytest.approx(1)
    assert t_quantile(1 - t_tail(t, df), df) == pytest.approx(t, abs=1e-6)


@pytest.mark.parametrize(("chance", "df"), [(0.0, 5), (1.0, 5), (0.9, 0)])
def test_nonsense_is_refused(chance: float, df: int) -> None:
    with pytest.raises(ValueError, match=r"above 0|at least one"):
        t_quantile(chance, df)
