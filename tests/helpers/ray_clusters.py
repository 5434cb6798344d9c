"""A Ray cluster of two machines on the loopback, and waiting for what happens on it."""

import contextlib
import os
import time
from unittest import mock

QUICK = {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Environment of a Ray whose workers also get on where the machine is busy."""


@contextlib.contextmanager
def two_machines():
    """(address, function that kills the second machine) of a cluster of two with one CPU each."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    with mock.patch.dict(os.environ, QUICK):
        cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
        try:
            second = cluster.add_node(**small)
            yield cluster.address, lambda: cluster.remove_node(second, allow_graceful=False)
        finally:
            cluster.shutdown()


def wait_until(true, seconds=240):
    """Wait until ``true()`` is."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not come true"
        time.sleep(0.05)
