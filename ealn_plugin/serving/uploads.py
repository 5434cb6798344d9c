"""Pictures that strangers send: decoded in processes of their own, which may die, hang or run out of memory."""

import os
import pathlib
import struct
import subprocess
import sys
import threading

from PIL import Image

from ealn_plugin.serving import decode_upload
from ealn_plugin.system import pictures

PIXELS = 40_000_000
"""Pixels of a picture, more than those of most cameras."""
MEMORY = 2**30
"""Bytes of address space that decoding may take."""
SECONDS = 20
"""After which a process that decodes is ended."""
_ACCEPTED = b"\0"


class UploadError(ValueError):
    """An upload that is no picture; the message is one sentence."""


class Decoder:
    """Bytes of a file to a ``PIL.Image`` in mode RGB, by the rule of ``system/pictures.py``.

    Args:
        pixels, memory, seconds: limits, see ``PIXELS``, ``MEMORY`` and ``SECONDS``.
        processes: at a time; further calls wait. None: as many as there are cores.
    """

    def __init__(
        self, pixels: int = PIXELS, memory: int = MEMORY, seconds: int = SECONDS, processes: int | None = None
    ) -> None:
        self.seconds = seconds
        self._turns = threading.BoundedSemaphore(processes or os.cpu_count() or 1)
        self._command = [sys.executable, "-I", decode_upload.__file__, pictures.__file__]
        self._command += [str(pixels), str(memory), str(seconds)]

    def __call__(self, content: bytes) -> Image.Image:
        """Decode one file.

        Raises:
            UploadError: it is no picture, or takes more than the limits.
        """
        if not content:
            raise UploadError("the upload is empty, expected a picture; choose a file")
        with self._turns:
            try:
                done = subprocess.run(
                    self._command, input=content, capture_output=True, timeout=self.seconds, cwd=pathlib.Path("/")
                )
            except subprocess.TimeoutExpired:
                raise UploadError(
                    f"the upload was not decoded within {self.seconds} seconds; send a smaller picture"
                ) from None
        if done.returncode or not done.stdout:
            raise UploadError("the upload broke the program that decodes it; save the picture anew, as JPEG or PNG")
        if done.stdout[:1] != _ACCEPTED:
            reason = done.stdout[1:].decode(errors="replace").partition("\n")[0]
            raise UploadError(f"the upload is no picture that can be read ({reason}); send a JPEG or PNG")
        size = struct.unpack("<II", done.stdout[1:9])
        return Image.frombytes("RGB", size, done.stdout[9:])
