"""A user's own modules: found, imported once, remembered, and every failure in one sentence."""

import sys
import textwrap

import pytest

from ealn_plugin.system.imports import import_modules, located, module_name


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Writes a module into a folder that becomes the current one; what is imported is forgotten in the end."""
    before, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)

    def write(name, code=""):
        file = tmp_path.joinpath(*name.split("/"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(code))

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_of_the_current_folder_is_remembered_with_its_folder(write_module, tmp_path, monkeypatch):
    write_module("own_one.py", "import own_helper\nvalue = own_helper.value\n")
    write_module("own_helper.py", "value = 3\n")
    name = located("own_one")
    assert name == f"{tmp_path}/own_one" and module_name(name) == "own_one"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    import_modules([name, name])
    assert sys.modules["own_one"].value == 3
    assert located(name) == name


def test_a_file_and_a_module_of_a_package_may_be_named(write_module, tmp_path):
    write_module("sub/own_two.py", "value = 2\n")
    write_module("own_package/__init__.py")
    write_module("own_package/part.py", "value = 4\n")
    assert located("sub/own_two.py") == f"{tmp_path}/sub/own_two"
    assert located("own_package.part") == f"{tmp_path}/own_package.part"
    import_modules(map(located, ["sub/own_two.py", "own_package.part"]))
    assert (sys.modules["own_two"].value, sys.modules["own_package.part"].value) == (2, 4)


def test_an_installed_module_keeps_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert located("colorsys") == "colorsys"
    import_modules(["colorsys"])


def test_folders_of_the_user_stand_behind_all_others(write_module, tmp_path):
    write_module("own_three.py")
    import_modules([located("own_three")])
    assert sys.path[-1] == str(tmp_path) and sys.path.count(str(tmp_path)) == 1


def test_one_that_has_moved_is_found_in_the_current_folder(write_module, tmp_path):
    write_module("own_four.py", "value = 4\n")
    import_modules([f"{tmp_path}/gone/own_four"])
    assert sys.modules["own_four"].value == 4


@pytest.mark.parametrize(
    "code, expected",
    [
        (None, "ModuleNotFoundError: No module named 'own_bad'"),
        ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyError('vehicle')", "KeyError: 'vehicle'"),
        ("assert False", "AssertionError: no message"),
    ],
)
def test_a_failure_is_one_sentence_with_the_module_and_the_error(write_module, code, expected):
    if code is not None:
        write_module("own_bad.py", code)
    with pytest.raises(ValueError) as error:
        import_modules([located("own_bad")])
    assert expected in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith("the module 'own_bad' of --import could not be imported (")
    assert "own_bad" not in sys.modules


def test_two_modules_of_one_name_are_refused(write_module, tmp_path):
    write_module("a/own_five.py")
    write_module("b/own_five.py")
    import_modules([located("a/own_five"), located("a/own_five")])
    with pytest.raises(ValueError, match="another one of that name is imported already, from .*/a/own_five.py; rename"):
        import_modules([located("b/own_five")])
