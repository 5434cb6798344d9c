"""What the command lines in tools/ share: one sentence per error, files written in one go, a log."""
import contextlib
import csv
import io
import logging
import os
import sys
import tempfile


def sentence(error):
    """The message of an error; one raised in a data worker arrives with the worker's traceback, which is left out."""
    text = str(error).strip()
    if "DataLoader worker" in text:
        text = text.splitlines()[-1].partition(": ")[2] or text
    return text


@contextlib.contextmanager
def replacing(path):
    """Give the name of a temporary file beside ``path`` that takes its place when the block ends without an error.

    The temporary name ends as ``path`` does, for libraries that tell the format by it.
    """
    folder, name = os.path.split(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(prefix=".writing-", suffix=os.path.splitext(name)[1], dir=folder)
    os.close(handle)
    try:
        yield temporary
        os.chmod(temporary, 0o644)  # mkstemp lets only the owner read
        os.replace(temporary, path)
    except BaseException:
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


def start_log(folder, name):
    """Messages to the screen and, with the time, to the file ``name`` in ``folder``, which is made if needed.

    Raises:
        OSError: the folder or the file cannot be written, with one sentence.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        file = logging.FileHandler(os.path.join(folder, name), encoding="utf-8")
    except OSError as error:
        raise OSError(f"the output folder {folder!r} cannot be used ({error}); choose another") from error
    screen = logging.StreamHandler(sys.stdout)
    screen.setFormatter(logging.Formatter("%(message)s"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[screen, file], force=True)
    logging.captureWarnings(True)
