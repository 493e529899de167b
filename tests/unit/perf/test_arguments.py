"""Callables a load cannot call are refused before it begins; what is not known is let through."""

import functools
from collections.abc import Awaitable, Callable

import pytest

from slotzero.errors import UsageError
from slotzero.perf.arguments import require_no_arguments


async def quote(mint: str, *, slippage_bps: int = 50) -> None:
    """Stand for any operation that has to be told something."""


def with_a_mint(fn: Callable[[str], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    @functools.wraps(fn)
    async def call() -> None:
        await fn("mint")

    return call


class Client:
    async def quote(self) -> None:
        """Take nothing but the client."""

    async def __call__(self, mint: str) -> None:
        """Take a mint."""


@pytest.mark.parametrize("fn", [quote, Client(), Client.quote, lambda *, mint: mint])
def test_callable_that_needs_arguments_is_refused_in_a_sentence(fn: Callable[..., object]) -> None:
    with pytest.raises(UsageError, match=r"^my:quote cannot be called without arguments, as a load does \(missing"):
        require_no_arguments(fn, "my:quote")


@pytest.mark.parametrize(
    "fn", [functools.partial(quote, "mint"), with_a_mint(quote), Client().quote, lambda *args, **kw: (args, kw)]
)
def test_callable_without_arguments_is_let_through(fn: Callable[..., object]) -> None:
    require_no_arguments(fn, "my:quote")


def test_callable_whose_parameters_nobody_knows_is_let_through() -> None:
    require_no_arguments(min, "builtins:min")
