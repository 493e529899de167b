import pytest

from slotzero.solana.endpoints import Limiter, Limits, TokenBucket, method_class
from slotzero.units import MonoNs

S = 1_000_000_000


def test_burst_goes_at_once_and_then_one_for_each_interval() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=3)
    assert [bucket.take(MonoNs(0)) for _ in range(6)] == [0, 0, 0, S // 10, 2 * S // 10, 3 * S // 10]


def test_instants_are_rounded_up_where_the_rate_does_not_divide_a_second() -> None:
    bucket = TokenBucket(rate_per_s=3, burst=1)
    assert [bucket.take(MonoNs(0)) for _ in range(4)] == [0, 333_333_334, 666_666_668, S + 2]


def test_rest_fills_the_bucket_up_to_its_burst_only() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=2)
    assert [bucket.take(MonoNs(100 * S)) for _ in range(3)] == [100 * S, 100 * S, 101 * S]
    assert bucket.earliest(MonoNs(100 * S)) == 102 * S
    assert bucket.earliest(MonoNs(105 * S)) == 105 * S


def test_asking_for_the_earliest_takes_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=1)
    assert [bucket.earliest(MonoNs(7)), bucket.earliest(MonoNs(7)), bucket.take(MonoNs(7))] == [7, 7, 7]


def test_classes_are_limited_apart_and_without_a_limit_not_at_all() -> None:
    limiter = Limiter(Limits(send_per_s=1))
    now = MonoNs(5)
    assert [limiter.take("send", now) for _ in range(2)] == [5, S + 5]
    assert [limiter.take("read", now) for _ in range(3)] == [5, 5, 5]


def test_pause_holds_its_class_back_and_a_shorter_one_does_not_end_it() -> None:
    limiter = Limiter(Limits(read_per_s=10))
    limiter.pause("read", MonoNs(0), 3 * S)
    limiter.pause("read", MonoNs(10), S)
    assert limiter.is_paused("read", MonoNs(3 * S - 1))
    assert not limiter.is_paused("read", MonoNs(3 * S))
    assert limiter.earliest("read", MonoNs(20)) == 3 * S
    assert limiter.earliest("send", MonoNs(20)) == 20
    assert [limiter.take("read", MonoNs(20)) for _ in range(2)] == [3 * S, 3 * S + S // 10]


def test_pause_leaves_a_sell_one_try_a_second_and_others_none() -> None:
    limiter = Limiter(Limits())
    limiter.pause("send", MonoNs(0), 10 * S)
    assert limiter.earliest("send", MonoNs(5), is_exit=True) == 5
    assert [limiter.take_try("send", MonoNs(5)) for _ in range(3)] == [5, S + 5, 2 * S + 5]
    assert limiter.earliest("send", MonoNs(5), is_exit=True) == 3 * S + 5
    assert limiter.earliest("send", MonoNs(5)) == 10 * S


def test_pause_that_is_over_before_the_next_try_leaves_none() -> None:
    limiter = Limiter(Limits())
    assert limiter.take_try("send", MonoNs(5)) is None
    limiter.pause("send", MonoNs(5), S // 2)
    assert limiter.take_try("send", MonoNs(5)) == 5
    assert limiter.take_try("send", MonoNs(5)) is None
    assert limiter.earliest("send", MonoNs(5), is_exit=True) == S // 2 + 5


def test_try_in_a_pause_uses_up_a_call_of_the_endpoints_own_limit() -> None:
    limiter = Limiter(Limits(send_per_s=1))
    assert limiter.take("send", MonoNs(0)) == 0
    limiter.pause("send", MonoNs(0), 10 * S)
    assert [limiter.take_try("send", MonoNs(S // 2)) for _ in range(2)] == [S, 2 * S]


@pytest.mark.parametrize(
    ("method", "kind"),
    [("sendTransaction", "send"), ("getTokenLargestAccounts", "heavy"), ("getMultipleAccounts", "read")],
)
def test_method_has_the_class_providers_count_it_in(method: str, kind: str) -> None:
    assert method_class(method) == kind
