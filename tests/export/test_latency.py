"""ealn_plugin/export/latency.py: the median of the calls, taken in turn, one call to warm up, an end to slow ones."""

import itertools

import pytest
import torch

from ealn_plugin.export import latency


@pytest.mark.parametrize(
    "durations, seconds, calls, median",
    [([1, 5, 2, 9, 3], 100, 5, 3000), ([4, 4, 4, 4, 4], 1, 3, 4000), ([1, 1, 1, 8, 1], 3.5, 4, 1000)],
)
def test_median_and_limit(monkeypatch, durations, seconds, calls, median):
    clock = itertools.chain.from_iterable((0, duration) for duration in durations)
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(clock))
    work = itertools.count(step=0.25)
    monkeypatch.setattr(latency.time, "process_time", lambda: next(work))
    made = []
    (found,) = latency.measure_latencies(
        [lambda images, views: made.append(images)], (torch.zeros(8, 1), None), 5, seconds
    )
    assert (found.batch, found.calls, found.median_ms) == (8, calls, median) and len(made) == calls + 1
    assert found.processor_ms == 250


def test_functions_take_turns():
    made = []
    runs = [lambda images, name=name: made.append(name) for name in "ab"]
    assert [found.calls for found in latency.measure_latencies(runs, (torch.zeros(1, 1),), 3)] == [3, 3]
    assert "".join(made) == "ab" * 4
