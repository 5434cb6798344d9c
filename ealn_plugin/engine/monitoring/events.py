"""TensorBoard events of a run, written so that a full disk costs the curves and not the run.

torch's SummaryWriter writes from a thread: when the disk is full that thread dies with a traceback and the next call
raises in the middle of a step. Here records are written where they are added, in the same format.
"""

import contextlib
import itertools
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch import Tensor
from torch.utils.tensorboard import summary

log = logging.getLogger(__name__)

_numbers = itertools.count()


class EventWriter:
    """One events file of this process in a run folder.

    Args:
        folder: created if needed. purge_step: first global step of this process; readers forget events of earlier
            processes from there on. 0: there was none.
    """

    run_id = ""  # a resumed run goes on in the same folder

    def __init__(self, folder: str, purge_step: int = 0) -> None:
        self._file = None
        # By the time in their names TensorBoard reads the files of a folder one after another.
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        try:
            os.makedirs(folder, exist_ok=True)
            self._file = open(os.path.join(folder, name), "wb")
        except OSError as error:
            self._give_up(error)
        self._add(file_version="brain.Event:2")
        if purge_step:
            self._add(step=purge_step, session_log=SessionLog(status=SessionLog.START))
        self.flush()

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """A number under a name such as 'train/loss/E'."""
        self._add(summary=summary.scalar(tag, value), step=step)

    def add_image(self, tag: str, image: Tensor, step: int) -> None:
        """A picture, tensor [3, h, w] in [0, 1]."""
        self._add(summary=summary.image(tag, image, dataformats="CHW"), step=step)

    def flush(self) -> None:
        """Hand everything over to the operating system."""
        self._guarded(lambda file: file.flush())

    def close(self) -> None:
        """End the file; a second call does nothing."""
        self._guarded(lambda file: file.close())
        self._file = None

    def _add(self, **content: Any) -> None:
        record = Event(wall_time=time.time(), **content).SerializeToString()
        self._guarded(lambda file: RecordWriter(file).write(record))

    def _guarded(self, work: Callable[[Any], object]) -> None:
        if self._file is None:
            return
        try:
            work(self._file)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Half a record may be in the file: a reader stops there, so nothing is added to it any more."""
        log.warning(
            "TensorBoard events cannot be written any more (%s); the run goes on without them, free some space", error
        )
        file, self._file = self._file, None
        with contextlib.suppress(OSError):  # told already
            if file is not None:
                file.close()
