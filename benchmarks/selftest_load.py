"""What the self-test measures: an async call of known length, in as many variants as the environment asks for.

`SLOTZERO_SELFTEST` is a JSON object: for each variant's name, the turns of its fast calls and of its slow ones. Every
tenth call is a slow one, so that p95 lies within the slow mode and can be moved without the median.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable

_TEXT = json.dumps({f"key{number}": [number, number * number, {"even": number % 2 == 0}] for number in range(24)})
_SLOW_EVERY = 10


def _variant(fast: int, slow: int) -> Callable[[], Awaitable[None]]:
    made = 0

    async def tick() -> None:
        nonlocal made
        made += 1
        turns = slow if made % _SLOW_EVERY == 0 else fast
        found = json.loads(_TEXT)
        await asyncio.sleep(0)
        total, seen = 0, {}
        for number in range(turns):
            total = (total * 31 + number) % 1_000_003
            seen[total & 63] = number
        assert found

    return tick


for _name, (_fast, _slow) in json.loads(os.environ.get("SLOTZERO_SELFTEST", "{}")).items():
    globals()[_name] = _variant(_fast, _slow)
