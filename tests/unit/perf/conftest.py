"""Each benchmark collects garbage before its samples: quick, unless the heap is a test session's."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _what_the_session_holds_is_no_garbage() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
