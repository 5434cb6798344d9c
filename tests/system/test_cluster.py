"""ealn_plugin/system/cluster.py: order, failures, a machine that is killed, and addresses at which nothing answers."""

import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from ealn_plugin.system import cluster
from ealn_plugin.system.jobs import Job
from ealn_plugin.system.shared_folder import Place
from tests.helpers.ray_clusters import two_machines, wait_until
from tests.system.test_jobs import need, note, save_when_stopped

REASON = "pip install -c constraints.txt ray: too heavy for CI"


def fail():
    raise ValueError("the rate is too high")


def begin_and_wait(folder, name):
    """Write down the machine, and wait until the test says go."""
    with open(os.path.join(folder, f"{name}.log"), "a") as file:
        file.write(os.environ["RAY_RAYLET_PID"] + "\n")
    wait_until(lambda: os.path.exists(os.path.join(folder, "go")))


@pytest.fixture(scope="module")
def two():
    pytest.importorskip("ray", reason=REASON)
    with two_machines() as machines:
        yield machines


@pytest.mark.slow  # a cluster takes half a minute
def test_a_folder_that_a_machine_does_not_see(two, tmp_path, monkeypatch):
    place = Place(str(tmp_path / "elsewhere" / "token"), str(tmp_path))
    monkeypatch.setattr(cluster, "shared_place", lambda folder: contextlib.nullcontext(place))
    with pytest.raises(RuntimeError, match="does not share the folder '.*elsewhere'; mount one folder"):
        list(cluster.run_on_ray([Job("a", fail)], two[0], str(tmp_path)))
    with pytest.raises(ValueError, match=r"1 CPU and 2 GPUs, expected what .* \(1 CPUs, 0 GPUs; 1 CPUs, 0 GPUs\)"):
        list(cluster.run_on_ray([Job("a", fail)], two[0], str(tmp_path), gpus=2))


@pytest.mark.slow
def test_sigterm_stops_all_and_lets_them_save(two, tmp_path):
    def ask():
        wait_until((tmp_path / "started").exists)
        os.kill(os.getpid(), signal.SIGTERM)

    asking, before = threading.Thread(target=ask), signal.getsignal(signal.SIGTERM)
    asking.start()
    with pytest.raises(KeyboardInterrupt):
        list(cluster.run_on_ray([Job("run", save_when_stopped, (str(tmp_path),))], two[0], str(tmp_path)))
    asking.join()
    assert sorted(os.listdir(tmp_path)) == ["saved", "started"] and signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_jobs_of_a_machine_that_is_killed_begin_again_on_another(two, tmp_path):
    folder, (address, kill_one) = str(tmp_path), two

    def kill():
        wait_until(lambda: (tmp_path / "x.log").exists() and (tmp_path / "y.log").exists())
        kill_one()
        (tmp_path / "go").touch()

    jobs = [
        Job("x", begin_and_wait, (folder, "x")),
        Job("y", begin_and_wait, (folder, "y")),
        Job("a", note, (folder, "a")),
        Job("b", need, (folder, "b", "a"), after="a"),
        Job("bad", fail),
        Job("more", note, (folder, "more"), after="bad"),
    ]
    killing, done = threading.Thread(target=kill), []
    killing.start()
    with pytest.raises(RuntimeError, match="^bad: the rate is too high; more: not run, since 'bad'"):
        for name in cluster.run_on_ray(jobs, address, folder, cpus=1, gpus=1, without_gpus=True):
            done.append(name)
    killing.join()
    assert sorted(done) == ["a", "b", "x", "y"] and done.index("a") < done.index("b")
    logs = sorted(((tmp_path / f"{name}.log").read_text().split() for name in "xy"), key=len)
    assert [len(log) for log in logs] == [1, 2] and logs[0] == logs[1][1:] != logs[1][:1]
    assert (tmp_path / "a").read_text() == "1"  # as many threads as CPUs


def test_nobody_answers(tmp_path):
    pytest.importorskip("ray", reason=REASON)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=f"'{address}' cannot be used from here .*; start this on one of its"):
        list(cluster.run_on_ray([Job("a", fail)], address, str(tmp_path)))
    assert time.monotonic() - began < 30


def test_a_port_that_is_not_rays(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason=REASON)
    monkeypatch.setattr(cluster, "_CONNECT_WITHIN", 3)
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(RuntimeError, match=r"no cluster has answered within 3 s"):
            list(cluster.run_on_ray([Job("a", fail)], f"127.0.0.1:{other.getsockname()[1]}", str(tmp_path)))
