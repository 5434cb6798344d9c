"""fault_injection.py: a process that is killed leaves nothing that stops the next one."""

import os
import signal

from tqdm import tqdm

from tests.helpers.fault_injection import forked


def die_in_a_progress_bar():
    tqdm.get_lock().acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_killed_in_a_progress_bar_does_not_stop_the_next():
    assert forked(die_in_a_progress_bar).killed

    def count():
        return sum(tqdm([0, 0], disable=True))

    assert forked(count).code == 0
