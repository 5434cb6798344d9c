"""Pictures that strangers send: decoded in processes of their own, which may die, hang or run out of memory."""

import os
import queue
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
SECONDS = 20.0
"""After which a process that decodes is ended."""
_TURNS = 200  # uploads that a process decodes before another takes its place
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
        self, pixels: int = PIXELS, memory: int = MEMORY, seconds: float = SECONDS, processes: int | None = None
    ) -> None:
        self.seconds = seconds
        self._command = [sys.executable, "-I", decode_upload.__file__, pictures.__file__, str(pixels), str(memory)]
        self._idle: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        for _ in range(processes or os.cpu_count() or 1):
            self._idle.put(None)  # a place whose process begins when it is first needed

    def __call__(self, content: bytes) -> Image.Image:
        """Decode one file.

        Raises:
            UploadError: it is no picture, or takes more than the limits.
        """
        if not content:
            raise UploadError("the upload is empty, expected a picture; choose a file")
        process = self._idle.get()
        try:
            if process is None:
                process = _Process(self._command)
            answer, late = process.ask(content, self.seconds)
            if answer is None or process.turns >= _TURNS:
                process.end()
                process = None
        finally:
            self._idle.put(process)
        if late:
            raise UploadError(f"the upload was not decoded within {self.seconds:g} seconds; send a smaller picture")
        if answer is None:
            raise UploadError("the upload broke the program that decodes it; save the picture anew, as JPEG or PNG")
        if answer[:1] != _ACCEPTED:
            reason = answer[1:].decode(errors="replace").partition("\n")[0]
            raise UploadError(f"the upload is no picture that can be read ({reason}); send a JPEG or PNG")
        return Image.frombytes("RGB", struct.unpack("<II", answer[1:9]), answer[9:])

    def close(self) -> None:
        """End the processes that are idle."""
        for _ in range(self._idle.qsize()):
            process = self._idle.get()
            if process is not None:
                process.end()
            self._idle.put(None)


class _Process:
    """One process of decode_upload.py; ``turns``: how many files it was given."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=os.sep
        )
        self.turns = 0

    def ask(self, content: bytes, seconds: float) -> tuple[bytes | None, bool]:
        """(answer, None where the process died, and whether it was ended for being late)."""
        self.turns += 1
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            self._process.stdin.write(struct.pack("<Q", len(content)) + content)
            self._process.stdin.flush()
            head = self._process.stdout.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            answer = self._process.stdout.read(length)
        except OSError:  # it died with the file half read
            answer, length = b"", 1
        finally:
            timer.cancel()
        return (answer if length and len(answer) == length else None), late.is_set()

    def end(self) -> None:
        """Kill it and wait for that."""
        self._process.kill()
        self._process.communicate()
