"""The entrance of every command line: the console script ``ealn`` and the files in tools/.

It stands beside the package, not in it, because importing ``ealn_plugin`` registers the plugin with torchreid and so
imports torch, which takes seconds. ``main`` puts that off: with ``deferred`` set the package imports nothing, and a
command calls ``ealn_plugin.system.entrances.register`` once its arguments are known to be good.
"""

import sys

deferred = False
"""Whether this process is a command line that has not needed the networks so far; read by ``ealn_plugin``."""


def main(arguments=None):
    """Run a sub-command.

    Args:
        arguments: name of the sub-command and its arguments; None: those of the process.
    Returns:
        int: exit code.
    """
    global deferred
    deferred = "ealn_plugin" not in sys.modules
    from ealn_plugin.commands.main import main as run

    return run(arguments)


# A process started by multiprocessing runs the main script again under another name and never calls ``main``. Whatever
# is sent to it may need torchvision, which the package cures where it does not fit torch, or the registered names.
if sys.modules.get("__mp_main__", sys.modules["__main__"]) is not sys.modules["__main__"]:
    import ealn_plugin  # noqa: F401
