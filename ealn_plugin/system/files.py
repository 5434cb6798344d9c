"""Files that appear under their name only when they are whole; everything in the package may import this."""

import contextlib
import csv
import io
import os
import stat
import tempfile

from ealn_plugin.system.locks import HeldElsewhere, try_lock

UNFINISHED = ".writing-"
"""How the names of temporary files begin; a killed process leaves them, the next one removes them."""
_MODE = 0o644  # mkstemp lets only the owner read
_tidied = set()  # folders from which this process has removed what killed ones left


class UnwritableError(OSError):
    """A file could not be written; the message is one sentence that names it."""


@contextlib.contextmanager
def replacing(path):
    """Give the name of a temporary file beside ``path`` that takes its place when the block ends without an error.

    The temporary name ends as ``path`` does, for libraries that tell the format by it. It reaches the disk before it
    takes the name, so not even a power cut leaves half a file; after an error nothing of it remains. A link stays a
    link: the file that it names is replaced. What killed processes left in the folder is removed first.

    Args:
        path: str or path-like, in a folder that exists.
    Raises:
        UnwritableError: the file cannot be written, or something that is no file has the name (a device would be
            replaced by a file); an older one stays as it is.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    try:
        _check_replaceable(target)
        _remove_leftovers(folder)
        handle, temporary = tempfile.mkstemp(prefix=UNFINISHED, suffix=os.path.splitext(name)[1], dir=folder)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with contextlib.suppress(HeldElsewhere):  # it marks the file as one of a living process
            try_lock(handle)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, _MODE)
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the error that led here says more
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise
    finally:
        os.close(handle)


def _check_replaceable(target):
    """A device, a pipe or a folder must not make room for a file, which a privileged user's rename would do."""
    if os.path.lexists(target) and not stat.S_ISREG(os.stat(target).st_mode):
        raise OSError("something that is no ordinary file has that name")


def _unwritable(path, error):
    if isinstance(error, UnwritableError):
        return error
    return UnwritableError(
        f"{os.fspath(path)!r} could not be written ({error}); an earlier one is untouched: free "
        "some space or choose another folder"
    )


def _remove_leftovers(folder):
    """Remove the temporary files of dead processes, which hold no lock on them; once per folder and process."""
    if folder in _tidied:
        return
    _tidied.add(folder)
    with os.scandir(folder) as entries:
        found = [
            entry.path
            for entry in entries
            if entry.name.startswith(UNFINISHED) and entry.is_file(follow_symlinks=False)
        ]
    for path in found:
        with contextlib.suppress(OSError, HeldElsewhere), open(path, "rb") as file:  # held: someone is writing it
            if try_lock(file):
                os.unlink(path)


def write_atomically(path, text):
    """Replace ``path`` by a UTF-8 file that holds ``text``, in one go.

    Raises:
        UnwritableError: as ``replacing``. ValueError: as ``utf8``.
    """
    content = utf8(text, path)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


def utf8(text, path):
    """``text`` as the bytes that ``write_atomically`` would write to ``path``.

    Raises:
        ValueError: it has what UTF-8 cannot hold, such as a file name that is no UTF-8.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 40) : error.end + 20]
        raise ValueError(
            f"{os.fspath(path)!r} is written as UTF-8, which cannot hold {around!r}; rename the file or "
            "folder of that name"
        ) from error


def write_csv(path, header, rows):
    """Replace ``path`` by a CSV file with a header line and rows of cells, in one go.

    Raises:
        UnwritableError, ValueError: as ``write_atomically``.
    """
    write_atomically(path, csv_text(header, rows))


def csv_text(header, rows):
    """The text of a CSV file with LF line ends. Cells may hold any character, line ends of every kind too."""
    text = io.StringIO()
    for row in (header, *rows):
        # Before Python 3.13 the module leaves a lone carriage return unquoted, which no reader takes.
        quoting = csv.QUOTE_ALL if any("\r" in cell for cell in row if isinstance(cell, str)) else csv.QUOTE_MINIMAL
        csv.writer(text, lineterminator="\n", quoting=quoting).writerow(row)
    return text.getvalue()


def check_writable(path, flag):
    """Refuse, before any work is done, a path at which no file can be written.

    Args:
        path: of the file to be. flag: how the user named it, such as '--json'.
    Raises:
        OSError: it is a folder, its folder does not exist, or nothing can be written there; one sentence.
    """
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise OSError(f"{flag} is {path!r}, which is a folder, expected the name of a file; add a file name")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(f"{flag} is {path!r}, which is a device or a pipe, expected the name of a file; choose another")
    if not os.path.isdir(folder):
        raise OSError(f"the folder {folder!r} of {flag} does not exist; create it or choose another")
    try:
        with tempfile.TemporaryFile(prefix=UNFINISHED, dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"{flag} is {path!r}, but nothing can be written in {folder!r} ({error}); choose another folder"
        ) from error
