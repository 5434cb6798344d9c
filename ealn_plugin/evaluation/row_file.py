"""Rows of numbers that grow on disk and not in memory."""

import errno
import os
import tempfile

import numpy as np


class NoRoomError(OSError):
    """A disk that cannot take the rows."""


class RowFile:
    """Collects float32 rows in a file without a name, which is gone as soon as nobody reads it any more.

    The file is written as files are and mapped only when it is whole: memory holds one batch at a time, and a process
    that is killed leaves nothing behind.

    Args:
        rows: how many are expected; their room on the disk is taken when the first ones are known.
        folder: where the file lives; None: the system's folder for temporary files.
    """

    def __init__(self, rows, folder=None):
        self._expected, self._folder = rows, folder
        self._file, self._dim, self._count = None, 0, 0

    def __len__(self):
        return self._count

    def append(self, rows):
        """Write [n, dim] numbers behind those that are there.

        Raises:
            NoRoomError: the disk is full or cannot be written; one sentence.
            ValueError: their dim is not that of the first ones.
        """
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        if rows.ndim != 2 or self._file is not None and rows.shape[1] != self._dim:
            raise ValueError(
                f"rows have the shape {rows.shape}, expected [n, {self._dim or 'dim'}]; give rows of one network"
            )
        try:
            if self._file is None:
                self._open(rows.shape[1])
            self._file.write(rows)
        except OSError as error:
            room = max(1, self._expected * rows.shape[1] * 4 / 2**20)
            raise NoRoomError(
                f"the features of {self._expected} images cannot be kept in {self._folder or tempfile.gettempdir()!r} "
                f"({error}); free {room:,.0f} MiB there, or choose another folder"
            ) from error
        self._count += len(rows)

    def _open(self, dim):
        self._dim = dim
        self._file = tempfile.TemporaryFile(dir=self._folder)
        if hasattr(os, "posix_fallocate") and self._expected * dim:
            try:
                os.posix_fallocate(self._file.fileno(), 0, self._expected * dim * 4)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
                    raise
                # else the file system cannot; a disk without room is noticed later

    def array(self):
        """float32 [n, dim], mapped into memory; what is changed in it stays in this process.

        Raises:
            ValueError: there are no rows.
        """
        if not self._count:
            raise ValueError("there are no rows to map, expected at least one")
        self._file.flush()
        return np.memmap(self._file, dtype=np.float32, mode="c", shape=(self._count, self._dim))
