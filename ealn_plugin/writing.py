"""Files that appear under their name only when they are whole; everything in the package may import this."""
import contextlib
import csv
import io
import os
import tempfile

UNFINISHED = ".writing-"
"""How the names of temporary files begin; a killed process leaves them."""
_MODE = 0o644  # mkstemp lets only the owner read


@contextlib.contextmanager
def replacing(path):
    """Give the name of a temporary file beside ``path`` that takes its place when the block ends without an error.

    The temporary name ends as ``path`` does, for libraries that tell the format by it. It reaches the disk before it
    takes the name, so not even a power cut leaves half a file; after an error nothing of it remains.

    Args:
        path: str or path-like, in a folder that exists.
    Raises:
        OSError: the file cannot be written; an older one stays as it is.
    """
    folder, name = os.path.split(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(prefix=UNFINISHED, suffix=os.path.splitext(name)[1], dir=folder)
    os.close(handle)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, _MODE)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the error that led here says more
            os.unlink(temporary)
        raise


def write_atomically(path, text):
    """Replace ``path`` by a UTF-8 file that holds ``text``, in one go."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_csv(path, header, rows):
    """Replace ``path`` by a CSV file with a header line and rows of cells, in one go."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def check_writable(path, flag):
    """Refuse, before any work is done, a path at which no file can be written.

    Args:
        path: of the file to be. flag: how the user named it, such as '--json'.
    Raises:
        OSError: it is a folder, its folder does not exist, or nothing can be written there; one sentence.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise OSError(f"{flag} is {path!r}, which is a folder, expected the name of a file; add a file name")
    if not os.path.isdir(folder):
        raise OSError(f"the folder {folder!r} of {flag} does not exist; create it or choose another")
    try:
        with tempfile.TemporaryFile(prefix=UNFINISHED, dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{flag} is {path!r}, but nothing can be written in {folder!r} ({error}); choose another "
                      "folder") from error
