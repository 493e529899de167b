"""Whether what a load calls can be called as a load calls it: without arguments."""

import inspect
from collections.abc import Callable

from slotzero.errors import UsageError

__all__ = ["require_no_arguments"]


def require_no_arguments(fn: Callable[..., object], name: str) -> None:
    """Refuse a callable that needs arguments, as far as that can be known: each operation would fail. *Pure.*

    Args:
        fn: What will be called. A wrapper is looked at itself, not what it wraps.
        name: What to call it in the text of the error.

    Raises:
        UsageError: It has a parameter without a default.
    """
    try:
        signature = inspect.signature(fn, follow_wrapped=False)
    except (TypeError, ValueError):  # of a built-in it may not be known
        return
    try:
        signature.bind()
    except TypeError as error:
        raise UsageError(
            f"{name} cannot be called without arguments, as a load does ({error}): give the parameter a default, or "
            "name a function without parameters"
        ) from error
