"""How the user has started the program, for hints that work when pasted, and the imports that were put off."""

import importlib
import os
import re
import shlex
import shutil
import sys
from typing import Any

_COMMANDS = "train|evaluate|search|export|report|visualize|reproduce|label-viewpoints|benchmark|make-synthetic"


def command(name: str) -> Any:
    """What starts the sub-command ``name`` for this user.

    Returns:
        str: 'python tools/NAME.py', with the folder as the user has typed it, where a file of tools/ was started, else
        'ealn NAME'.
    """
    folder, script = os.path.split(sys.argv[0])
    if os.path.basename(os.path.abspath(folder)) == "tools" and os.path.isfile(os.path.join(folder, _file_of(name))):
        return f"python {os.path.join(folder, _file_of(name))}"
    return f"ealn {name}"


def train_command(*arguments: object) -> str:
    """What this user types to train with these arguments, ready to be pasted, under torchrun where it runs under it."""
    starts = command("train")
    script = starts.removeprefix("python ")
    processes = os.environ.get("LOCAL_WORLD_SIZE", "1") if "TORCHELASTIC_RUN_ID" in os.environ else "1"
    if processes != "1":
        launcher = ["torchrun", "--nproc_per_node", processes]
        launcher += ["-m", "ealn_cli", "train"] if script == starts else [script]
    elif script == starts:
        launcher = starts.split()
    else:
        python = shutil.which("python")
        launcher = ["python" if python and os.path.samefile(python, sys.executable) else sys.executable, script]
    return shlex.join([*launcher, *map(str, arguments)])


def _file_of(name):
    return "train_ealn.py" if name == "train" else f"{name.replace('-', '_')}.py"


def program(name: str) -> Any:
    """What the usage line of the sub-command ``name`` begins with."""
    return command(name).removeprefix("python ")


def as_called(text: str) -> Any:
    """``text`` with every 'ealn NAME' in it replaced by what starts that sub-command for this user."""
    return re.sub(rf"\bealn ({_COMMANDS})\b", lambda match: command(match[1]), text)


def register() -> None:
    """Import and register with torchreid what a command line has put off; in any other process nothing is left to do.

    Raises:
        RuntimeError: a package is missing; one sentence.
    """
    entrance = sys.modules.get("ealn_cli")
    if not getattr(entrance, "deferred", False):
        return
    entrance.deferred = False
    try:
        importlib.reload(sys.modules["ealn_plugin"])
    except ImportError as error:
        raise RuntimeError(str(error)) from error
