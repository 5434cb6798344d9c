"""A notebook run without Jupyter: its code cells one after the other in one process, its commands in it as well."""

import json
import re

_LINE = re.compile(r"^( *)([!%])(.*)$")

PRELUDE = """
import shlex, sys
from ealn_cli import main

def shell(line):
    words = shlex.split(line)
    if words[0] != "ealn" or main(words[1:]):  # as a process each would import torch again
        sys.exit("failed: " + line)
"""


def code_of(path, without=()):
    """A notebook as one Python program.

    Args:
        path: pathlib.Path of the notebook. without: cells with one of these tags are left out.
    Returns:
        str; ``!ealn ...`` is run in the same process, ``%pip`` is refused: what it installs is there.
    """
    parts = [PRELUDE]
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code" and not set(cell["metadata"].get("tags", ())) & set(without):
            parts.append("\n".join(map(_plain, "".join(cell["source"]).replace("\\\n", " ").splitlines())))
    return "\n\n".join(parts) + "\n"


def _plain(line):
    found = _LINE.match(line)
    if not found:
        return line
    indent, mark, command = found.groups()
    if mark == "%":
        return f"{indent}raise RuntimeError({command!r})"
    return f'{indent}shell(f"""{command}""")'
