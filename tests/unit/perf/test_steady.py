"""When warming up is over."""

from random import Random

from slotzero.perf.steady import NEEDED, is_steady


def noise(count: int, level: float, spread: float, seed: int) -> list[float]:
    draw = Random(seed)  # noqa: S311 a sample
    return [level * draw.lognormvariate(0, spread) for _ in range(count)]


def test_too_few_samples_are_not_steady() -> None:
    assert not is_steady([1.0] * (NEEDED - 1))
    assert is_steady([1.0] * NEEDED)


def test_a_level_run_is_steady_however_noisy() -> None:
    for seed in range(20):
        assert is_steady(noise(NEEDED, 100, 0.02, seed))
    noisy = sum(is_steady(noise(NEEDED, 100, 0.5, seed)) for seed in range(100))
    assert noisy >= 80


def test_a_run_that_still_gets_faster_is_not_steady() -> None:
    for seed in range(20):
        falling = [value * (3 - 2 * place / NEEDED) for place, value in enumerate(noise(NEEDED, 100, 0.05, seed))]
        assert not is_steady(falling)


def test_only_the_last_samples_count() -> None:
    assert is_steady([1_000.0] * 100 + [1.0] * NEEDED)
    assert not is_steady([1.0] * NEEDED + [10.0] * 50)
