"""README.md and datasets.md, and the commands on them."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "datasets.md")}


def commands_of(text):
    """The commands of a page in its order, each once: those in blocks without a language and those within a line."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fenced.findall(text) if not language]
    blocks += re.findall(r"`([^`\n]+)`", fenced.sub("", text))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    parts = [re.sub(r" +", " ", part).strip() for line in lines for part in line.split(" && ")]
    return list(dict.fromkeys(part for part in parts if re.match(r"(python|pip|pytest|torchrun) ", part)))


COMMANDS = {name: commands_of(text) for name, text in PAGES.items()}
"""{page: its commands}"""


def arguments_of(tool):
    """What the README gives to python tools/<tool>.py: a list of arguments for each command."""
    start = f"python tools/{tool}.py "
    return [command.removeprefix(start).split() for command in COMMANDS["README.md"] if command.startswith(start)]
