"""The pages for users, README.md, datasets.md and docs/, and the commands on them."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
NAMES = ["README.md", "datasets.md", *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/**/*.md")))]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}


def commands_of(text):
    """The commands of a page in its order, each once: those in blocks without a language and those within a line."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fenced.findall(text) if not language]
    blocks += re.findall(r"`([^`\n]+)`", fenced.sub("", text))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    parts = [re.sub(r" +", " ", part).strip() for line in lines for part in line.split(" && ")]
    return list(dict.fromkeys(part for part in parts if re.match(r"(python|pip|pytest|torchrun|ealn) ", part)))


COMMANDS = {name: commands_of(text) for name, text in PAGES.items()}
"""{page: its commands}"""


def arguments_of(tool):
    """What the pages give to python tools/<tool>.py: a list of arguments for each command, each once."""
    start = f"python tools/{tool}.py "
    found = dict.fromkeys(
        command for commands in COMMANDS.values() for command in commands if command.startswith(start)
    )
    return [command.removeprefix(start).split() for command in found]
