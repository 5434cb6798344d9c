"""What the command lines in tools/ share: exit codes, one sentence per error, and a log."""

import contextlib
import logging
import os
import sys

from ealn_plugin.system.messages import sentence

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
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        log.debug("details", exc_info=True)
        sys.stderr.write(f"error: {sentence(error)}\n")
        return 1


class _Quiet:
    """For log handlers: a message that cannot be written is told once, not with a traceback each."""

    told = False

    def handleError(self, record):
        """Called by ``logging`` where writing a record has failed."""
        if not self.told and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(
                    f"the log cannot be written to {getattr(self.stream, 'name', 'the screen')} "
                    f"({sys.exc_info()[1]}); going on without\n"
                )
        self.told = True


class _Screen(_Quiet, logging.StreamHandler):
    pass


class _LogFile(_Quiet, logging.FileHandler):
    pass


def start_log(folder, name, screen=True):
    """Messages to the screen and, with the time, to the file ``name`` in ``folder``, which is made if needed.

    Args:
        screen: False: to the file alone, for one of several runs at a time.
    Raises:
        OSError: the folder or the file cannot be written, with one sentence.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        file = _LogFile(os.path.join(folder, name), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OSError(f"the output folder {folder!r} cannot be used ({error}); choose another") from error
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold what the terminal does not know
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handlers = [file]
    if screen:
        handlers.insert(0, _Screen(sys.stdout))
        handlers[0].setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(True)


def start_screen(level=logging.INFO):
    """Messages of at least ``level`` to stderr, for tools whose stdout is the answer and processes without a log."""
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr, force=True)
    logging.captureWarnings(True)
