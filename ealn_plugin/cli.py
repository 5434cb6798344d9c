"""What the command lines in tools/ share: exit codes, one sentence per error, and a log."""
import logging
import os
import sys

from ealn_plugin.writing import replacing, write_atomically

__all__ = ["exit_code", "replacing", "sentence", "start_log", "write_atomically"]

log = logging.getLogger(__name__)


def exit_code(work, stopped):
    """Run ``work`` and tell what went wrong in one sentence, as every command line here does.

    Args:
        work: called without arguments; what it returns is the exit code, None being 0.
        stopped: what to say when it is interrupted, unless the interrupt says it itself.
    Returns:
        int: 0, or what ``work`` returned; 1 for bad input; 130 when interrupted.
    """
    try:
        return work() or 0
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"\n{str(stop) or stopped}\n")
        return 130
    except (ValueError, OSError, RuntimeError) as error:
        log.debug("details", exc_info=True)
        sys.stderr.write(f"error: {sentence(error)}\n")
        return 1


def sentence(error):
    """The message of an error; one raised in a data worker arrives with the worker's traceback, which is left out."""
    text = str(error).strip()
    if "DataLoader worker" in text:
        text = text.splitlines()[-1].partition(": ")[2] or text
    return text


def start_log(folder, name, shown=True):
    """Messages to the screen and, with the time, to the file ``name`` in ``folder``, which is made if needed.

    Args:
        shown: False in all but one of several processes: errors alone, to the screen.
    Raises:
        OSError: the folder or the file cannot be written, with one sentence.
    """
    if not shown:
        logging.basicConfig(level=logging.ERROR, force=True)
        logging.captureWarnings(True)
        return
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
