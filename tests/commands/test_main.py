"""ealn_plugin/commands/main.py: one module behind every sub-command, one file in tools/ before it."""

from ealn_plugin.commands import main
from tests.helpers.pages import ROOT


def test_every_sub_command_has_a_module_and_a_tool():
    tools = {path.stem for path in (ROOT / "tools").glob("*.py")}
    assert tools == {"train_ealn" if name == "train" else name.replace("-", "_") for name in main.COMMANDS}
    for name in main.COMMANDS:
        assert callable(main.module_of(name).main)


def test_the_rest_of_the_line_and_the_exit_code_belong_to_the_sub_command(monkeypatch):
    seen = []
    monkeypatch.setattr(main.module_of("report"), "main", lambda arguments: seen.append(arguments) or 7)
    assert main.main(["report", "--run", "a b", "--help"]) == 7 and seen == [["--run", "a b", "--help"]]
