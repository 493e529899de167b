"""The machines of an endpoint against what they promise, whatever happens in whatever order."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from slotzero.solana.endpoints import Breaker, BreakerRules, Permit, TokenBucket
from slotzero.units import DurationNs, MonoNs

S = 1_000_000_000


@given(
    rate=st.integers(1, 1_000),
    burst=st.integers(1, 50),
    steps=st.lists(st.one_of(st.just(0), st.integers(0, 3 * S)), min_size=1, max_size=60),
)
def test_bucket_never_gives_more_than_rate_times_time_plus_burst(rate: int, burst: int, steps: list[int]) -> None:
    bucket = TokenBucket(rate_per_s=rate, burst=burst)
    now = 0
    taken = []
    for step in steps:
        now += step
        earliest = bucket.earliest(MonoNs(now))
        at = bucket.take(MonoNs(now))
        assert at == earliest >= now
        taken.append(at)
    assert taken == sorted(taken)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert (last - first + 1 - burst) * S <= rate * (taken[last] - start)


@given(rate=st.integers(1, 1_000), burst=st.integers(1, 50), count=st.integers(1, 200))
def test_bucket_wastes_at_most_a_nanosecond_for_each_token(rate: int, burst: int, count: int) -> None:
    bucket = TokenBucket(rate_per_s=rate, burst=burst)
    taken = [bucket.take(MonoNs(0)) for _ in range(count)]
    for number, at in enumerate(taken):
        ideal = max(0, -(-(number + 1 - burst) * S // rate))
        assert ideal <= at <= ideal + number


class Model:
    """What the breaker promises, said another way: the whole history is kept and looked at anew."""

    def __init__(self, rules: BreakerRules) -> None:
        self.rules = rules
        self.state = "closed"
        self.outcomes: list[tuple[int, bool]] = []
        self.until = 0
        self.wait = int(rules.open_ns)

    def admits(self, now: int, *, has_probe: bool) -> bool:
        return self.state == "closed" or (now >= self.until and not has_probe)

    def ends(self, now: int, *, is_good: bool) -> None:
        if self.state == "half_open":
            self.outcomes = [(now, True)] if is_good else []
            self.wait = int(self.rules.open_ns) if is_good else min(2 * self.wait, self.rules.max_open_ns)
            self.state = "closed" if is_good else "open"
            self.until = now + self.wait
            return
        self.outcomes.append((now, is_good))
        newest = self.outcomes[-(2 * self.rules.failures - 1) :]
        bad = [at for at, was_good in newest if not was_good and now - at <= self.rules.window_ns]
        if not is_good and len(bad) >= self.rules.failures:
            self.state, self.until, self.outcomes = "open", now + self.wait, []


@settings(max_examples=200)
@given(
    failures=st.integers(1, 4),
    steps=st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(["start", "good", "bad", "late", "release"])), max_size=120
    ),
)
def test_breaker_does_what_its_simple_model_does(failures: int, steps: list[tuple[int, str]]) -> None:
    rules = BreakerRules(
        failures=failures, window_ns=DurationNs(60), open_ns=DurationNs(20), max_open_ns=DurationNs(70)
    )
    breaker, model = Breaker(rules), Model(rules)
    under_way: deque[tuple[int, Permit]] = deque()
    era = 0
    now = 0
    for step, what in steps:
        now += step
        if what == "start":
            has_probe = model.state == "half_open" and any(began == era for began, _ in under_way)
            assert breaker.admits(MonoNs(now)) == model.admits(now, has_probe=has_probe)
            permit = breaker.start(MonoNs(now))
            assert (permit is not None) == model.admits(now, has_probe=has_probe)
            if permit is not None:
                if model.state == "open":
                    model.state = "half_open"
                    era += 1
                under_way.append((era, permit))
        elif under_way:
            began, permit = under_way.pop() if what == "late" else under_way.popleft()
            if what == "release":
                breaker.release(permit)
                continue
            is_good = what == "good"
            (breaker.succeed if is_good else breaker.fail)(permit, MonoNs(now))
            before = model.state
            if began == era:
                model.ends(now, is_good=is_good)
                era += model.state != before
        assert breaker.state == model.state
    changes = [change.state for change in breaker.transitions]
    follows = {"closed": {"open"}, "open": {"half_open"}, "half_open": {"open", "closed"}}
    assert all(after in follows[before] for before, after in zip(["closed", *changes], changes, strict=False))
