"""Whether several machines see the same folder under the same path."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ealn_plugin.system.files import write_atomically

_PATIENCE = 10
"""Seconds until a new file has to be seen by another machine; names that nobody has looked for are found at once."""


@dataclass(frozen=True)
class Place:
    """A shared folder, and the folder in which relative paths begin.

    Attributes:
        token: path of a file that only this folder has. directory: the current folder of the first machine.
    """

    token: str
    directory: str

    def check(self, machine: str) -> None:
        """Refuse a machine, this one, that does not see them.

        Raises:
            RuntimeError: one sentence that names the ``machine``.
        """
        if not os.path.isdir(self.directory):
            raise RuntimeError(
                f"the machine {machine} has no folder {self.directory!r}, in which the command was started; start it "
                "in a folder that all machines have"
            )
        if not _appears(self.token):
            raise RuntimeError(self._unshared(machine))

    def leave_mark(self, mark: str) -> None:
        """Write a file that ``check_mark`` finds."""
        write_atomically(f"{self.token}-{mark}", "")

    def check_mark(self, mark: str, machine: str) -> None:
        """Refuse a machine whose mark is not seen here, and remove it.

        Raises:
            RuntimeError: one sentence that names the ``machine``.
        """
        if not _appears(f"{self.token}-{mark}"):
            raise RuntimeError(self._unshared(machine))
        os.unlink(f"{self.token}-{mark}")

    def _unshared(self, machine: str) -> str:
        folder = os.path.dirname(self.token)
        return (
            f"the machine {machine} does not share the folder {folder!r}; mount one folder at the same path on all "
            "machines and give it as --out, or stop Ray there"
        )


def _appears(path: str) -> bool:
    """Whether a file is there, or comes within some seconds."""
    end = time.monotonic() + _PATIENCE
    while not os.path.exists(path):
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


@contextlib.contextmanager
def shared_place(folder: str) -> Iterator[Place]:
    """The ``Place`` of a folder, which is created if needed; its token is removed in the end."""
    os.makedirs(folder, exist_ok=True)
    token = os.path.join(os.path.abspath(folder), f".shared-{secrets.token_hex(8)}")
    write_atomically(token, "")
    try:
        yield Place(token, os.getcwd())
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone
            os.unlink(token)
