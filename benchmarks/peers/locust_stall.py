"""Locust on the stall ground truth: one JSON line with what it reports.

Run by `bench_stall_truth.py`, in an environment of its own::

    .venv-peers/bin/python benchmarks/peers/locust_stall.py USERS SECONDS

USERS paced users offer 100 operations a second together to a target that answers at once, but for the last second of
every ten, in which it is frozen.
"""

import gevent.monkey

gevent.monkey.patch_all()

import json
import sys
import time

import gevent
from locust import User, constant_throughput, task
from locust.env import Environment

RATE_PER_S = 100
PERIOD_S = 10.0
FREEZE_S = 1.0
PERCENTILES = {"p50_ms": 0.50, "p90_ms": 0.90, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999}


def main() -> None:
    """Run Locust as a library and print what its statistics say."""
    users, seconds = int(sys.argv[1]), float(sys.argv[2])
    began = time.monotonic()

    class Frozen(User):
        wait_time = constant_throughput(RATE_PER_S / users)

        @task
        def operation(self) -> None:
            started = time.perf_counter()
            place = (time.monotonic() - began) % PERIOD_S
            if place >= PERIOD_S - FREEZE_S:
                gevent.sleep(PERIOD_S - place)
            self.environment.events.request.fire(
                request_type="call",
                name="operation",
                response_time=(time.perf_counter() - started) * 1_000,
                response_length=0,
                exception=None,
                context={},
            )

    environment = Environment(user_classes=[Frozen])
    runner = environment.create_local_runner()
    began = time.monotonic()
    runner.start(users, spawn_rate=users)
    gevent.sleep(seconds)
    total = environment.stats.total
    print(
        json.dumps(
            {
                "users": users,
                "n": total.num_requests,
                "mean_ms": total.avg_response_time,
                "max_ms": total.max_response_time,
                **{name: total.get_response_time_percentile(share) for name, share in PERCENTILES.items()},
            }
        )
    )
    runner.quit()


if __name__ == "__main__":
    main()
