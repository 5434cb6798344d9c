"""Several pieces of independent work on the machines of a Ray cluster, each in a process of its own, as in jobs.py.

A task of Ray watches the process of one job. What the job writes into the shared folder is the result; Ray carries no
more than the sentence of a job that failed.
"""

import collections
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ealn_plugin.system.interrupts import handled
from ealn_plugin.system.jobs import Job, check_order, interrupt, run_jobs
from ealn_plugin.system.messages import counted, sentence
from ealn_plugin.system.shared_folder import Place, shared_place
from ealn_plugin.system.workers import core_count

log = logging.getLogger(__name__)

RETRIES = 20
"""How often a job begins again, on another machine, because that on which it ran was lost."""
_ANSWER_WITHIN, _CONNECT_WITHIN, _LOOK_EVERY = 5, 90, 2
"""Seconds: for an open port, for a connection to a cluster that is busy, and between two looks at the machines."""
_OBJECT_STORE = 100 * 2**20
"""Bytes of a local Ray's store, of which hardly any are used."""


def run_on_ray(
    jobs: Sequence[Job],
    address: str = "",
    folder: str = ".",
    cpus: int = 1,
    gpus: float = 0.0,
    without_gpus: bool = False,
) -> Iterator[str]:
    """Run all jobs as tasks of Ray, as many at a time as its machines have room for; yield each name as it is done.

    A machine that is lost has its jobs begun again on another. A job that fails is told at once and stops only those
    that wait for it. When asked to stop, the jobs are asked with SIGTERM and may save what they have.

    Args:
        jobs: list of Job, each behind the one that it waits for.
        address: 'auto' or 'HOST:PORT'; '': start a Ray on this machine and end it afterwards.
        folder: which all machines share, under the same path.
        cpus, gpus: of each job, what Ray reserves; cpus is also the number of threads.
        without_gpus: do without where the cluster has no GPU at all.
    Raises:
        ValueError: as ``check_order``, or no machine has that many CPUs or GPUs.
        RuntimeError: Ray is not to be reached, a machine does not see the folder, or jobs failed; one sentence.
        KeyboardInterrupt: asked to stop.
    """
    check_order(jobs)
    with handled(interrupt, signal.SIGTERM), _connected(address) as ray, shared_place(folder) as place:
        with handled(interrupt, signal.SIGTERM):  # Ray has put its own in the place of the first
            machines = _Machines(ray)
            if without_gpus and not ray.cluster_resources().get("GPU"):
                gpus = 0.0
            machines.check_room(cpus, gpus)
            machines.check_place(place)
            task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_watch)
            yield from _Tasks(ray, task, place, cpus, machines).run(jobs)


class _Tasks:
    """The tasks that are under way."""

    def __init__(self, ray: Any, task: Any, place: Place, cpus: int, machines: "_Machines") -> None:
        self._ray, self._task, self._place, self._cpus, self._machines = ray, task, place, cpus, machines
        self._running: dict[Any, Job] = {}
        self._failed: dict[str, str] = {}
        self._begun: collections.Counter[str] = collections.Counter()

    def run(self, jobs: Sequence[Job]) -> Iterator[str]:
        """Run all jobs and yield the name of each as it is done; a RuntimeError at the end if some failed."""
        waiting, done = list(jobs), set()
        try:
            while waiting or self._running:
                for job in list(waiting):
                    if job.after in self._failed:
                        self._fail(job, f"{job.name}: not run, since {job.after!r}, which it begins from, failed")
                        waiting.remove(job)
                    elif not job.after or job.after in done:
                        waiting.remove(job)
                        self._begin(job)
                for name in self._ended():
                    done.add(name)
                    yield name
        finally:
            self._stop()
        if self._failed:
            raise RuntimeError("; ".join(self._failed.values()))

    def _begin(self, job: Job) -> None:
        self._begun[job.name] += 1
        self._running[self._task.remote(job, self._cpus, self._place)] = job

    def _fail(self, job: Job, message: str) -> None:
        log.warning("%s", message)
        self._failed[job.name] = message

    def _ended(self) -> list[str]:
        """Names of jobs that are done; waits some seconds for them."""
        if not self._running:
            return []
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_LOOK_EVERY)
        self._machines.tell_changes()
        return [job.name for job in [self._running.pop(one) for one in ended if self._came_to_end(one)]]

    def _came_to_end(self, one: Any) -> bool:
        job = self._running[one]
        try:
            said = self._ray.get(one)
        except self._ray.exceptions.TaskCancelledError:  # its machine is being shut down: nobody here has asked
            del self._running[one]
            if self._begun[job.name] > RETRIES:
                self._fail(job, f"{job.name}: stopped {RETRIES + 1} times on its machines; see their logs")
            else:
                self._begin(job)
            return False
        except self._ray.exceptions.RayError as error:
            said = f"{job.name}: {_reason(error)}"
        if said:
            del self._running[one]
            self._fail(job, said)
        return not said

    def _stop(self) -> None:
        """Ask them to end, wait for them; asked to stop while waiting, kill them."""
        running = list(self._running)
        if not running:
            return
        log.info("stopping %s, which may save first; Ctrl-C once more does not wait", counted(len(running), "run"))
        for one in running:
            self._ray.cancel(one)
        try:
            self._ray.wait(running, num_returns=len(running))
        except KeyboardInterrupt:
            for one in running:
                self._ray.cancel(one, force=True)
            raise


def _watch(job: Job, cpus: int, place: Place) -> str:
    """The task of a job: start its process, wait for it, say why it failed, or ''."""
    try:
        place.check(_here())
        os.chdir(place.directory)
        collections.deque(run_jobs([Job(job.name, job.work, job.arguments)], 1, threads=cpus), maxlen=0)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        said = sentence(error)
        return said if said.startswith(job.name) else f"{job.name}: {said}"
    return ""


def _here() -> str:
    import ray

    return str(ray.util.get_node_ip_address())


def _look(place: Place, mark: str) -> str:
    """The task that looks whether a machine sees the folder: '' or a sentence."""
    try:
        place.check(_here())
        place.leave_mark(mark)
    except (OSError, RuntimeError) as error:
        return sentence(error)
    return ""


class _Machines:
    """The machines of the cluster, those that are lost told once each."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._known = self._alive()

    def _alive(self) -> dict[str, dict[str, Any]]:
        return {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}

    def check_room(self, cpus: int, gpus: float) -> None:
        """Refuse what no machine has, for which Ray would wait for ever."""
        have = [node["Resources"] for node in self._known.values()]
        if not any(one.get("CPU", 0) >= cpus and one.get("GPU", 0) >= gpus for one in have):
            most = "; ".join(f"{one.get('CPU', 0):g} CPUs, {one.get('GPU', 0):g} GPUs" for one in have)
            raise ValueError(
                f"a run takes {counted(cpus, 'CPU')} and {gpus:g} GPUs, expected what one of the machines has "
                f"({most}); lower --cpus-per-cell or --gpus-per-cell"
            )

    def check_place(self, place: Place) -> None:
        """Refuse a folder that one of the machines does not share."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as Affinity

        look = self._ray.remote(num_cpus=0, max_retries=1)(_look)
        looks = {
            name: look.options(scheduling_strategy=Affinity(name, soft=False)).remote(place, name)
            for name in self._known
        }
        for name, one in looks.items():
            where = self._known[name]["NodeManagerAddress"]
            try:
                said = self._ray.get(one)
            except self._ray.exceptions.RayError as error:
                if name not in self._alive():
                    continue  # lost meanwhile
                raise RuntimeError(
                    f"the machine {where} can run nothing ({_reason(error)}); install there what is installed here"
                ) from error
            if said:
                raise RuntimeError(said)
            place.check_mark(name, where)

    def tell_changes(self) -> None:
        """Say which machines were lost or have joined since the last look."""
        alive = self._alive()
        for name in self._known.keys() - alive.keys():
            log.warning("lost the machine %s: its runs go on elsewhere", self._known[name]["NodeManagerAddress"])
        for name in alive.keys() - self._known.keys():
            log.info("the machine %s has joined", alive[name]["NodeManagerAddress"])
        self._known = alive


def _reason(error: BaseException) -> str:
    """The last line of an error of Ray, which may be a traceback from elsewhere."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return sentence(RuntimeError(lines[-1] if lines else type(error).__name__))


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster or to one of its own, which ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # without GPUs of its own a job sees none
    if address:
        _check_answer(address)
    import ray
    from ray.job_config import JobConfig

    options: dict[str, Any] = {}
    if not address:
        options = {"num_cpus": core_count(), "object_store_memory": _OBJECT_STORE, "include_dashboard": False}
    try:
        ray.init(
            address=address or "local",
            job_config=JobConfig(_py_driver_sys_path=[str(Path(__file__).parents[2])]),  # of a checkout as well
            log_to_driver=False,
            logging_level=logging.ERROR,
            **options,
        )
    except (SystemExit, ConnectionError, RuntimeError, ValueError) as error:
        raise RuntimeError(_unreachable(address, _reason(error))) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _unreachable(address: str, reason: str) -> str:
    if not address:
        return f"a local Ray could not be started ({reason}); leave --ray out to use processes alone"
    return (
        f"the Ray cluster {address!r} cannot be used from here ({reason}); start this on one of its machines, with the "
        "address that 'ray start --head' has said"
    )


def _check_answer(address: str) -> None:
    """Refuse an address at which no cluster answers: Ray itself would try for minutes, and end this process.

    Raises:
        RuntimeError: one sentence.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_ANSWER_WITHIN).close()
        except (OSError, OverflowError) as error:
            raise RuntimeError(_unreachable(address, sentence(error))) from error
    code = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", code, address], capture_output=True, text=True, timeout=_CONNECT_WITHIN
        )
    except subprocess.TimeoutExpired as error:
        reason = f"no cluster has answered within {_CONNECT_WITHIN} s"
        raise RuntimeError(_unreachable(address, reason)) from error
    if tried.returncode:
        raise RuntimeError(_unreachable(address, _reason(RuntimeError(tried.stderr.strip() or "no message"))))
