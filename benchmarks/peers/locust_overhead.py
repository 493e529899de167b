"""What Locust costs for an operation that does nothing: one JSON line.

Run by `bench_load_overhead.py`, in an environment of its own::

    .venv-peers/bin/python benchmarks/peers/locust_overhead.py USERS SECONDS
"""

import gevent.monkey

gevent.monkey.patch_all()

import json
import sys
import time

import gevent
from locust import User, constant, task
from locust.env import Environment


def main() -> None:
    """Run users without a wait and print CPU time for each operation."""
    users, seconds = int(sys.argv[1]), float(sys.argv[2])

    class Idle(User):
        wait_time = constant(0)

        @task
        def operation(self) -> None:
            started = time.perf_counter()
            self.environment.events.request.fire(
                request_type="call",
                name="operation",
                response_time=(time.perf_counter() - started) * 1_000,
                response_length=0,
                exception=None,
                context={},
            )

    environment = Environment(user_classes=[Idle])
    runner = environment.create_local_runner()
    runner.start(users, spawn_rate=users)
    gevent.sleep(0.5)
    before, cpu = environment.stats.total.num_requests, time.process_time()
    gevent.sleep(seconds)
    operations = environment.stats.total.num_requests - before
    used = time.process_time() - cpu
    runner.quit()
    print(json.dumps({"users": users, "ops": operations, "cpu_us": 1e6 * used / max(operations, 1)}))


if __name__ == "__main__":
    main()
