"""The house: which room may import which, that only one file knows torchreid, and that tests mirror the source."""

import ast
import itertools

import pytest

from tests.helpers.pages import ROOT

PACKAGE = ROOT / "ealn_plugin"
# From the ground up; a room imports from rooms before it and from itself.
ROOMS = (
    "system",
    "losses",
    "models",
    "toolkit",
    "config",
    "distributed",
    "data",
    "schemes",
    "evaluation",
    "labelling",
    "visualization",
    "engine",
    "runs",
    "export",
    "inference",
    "reports",
    "detection",
    "search",
    "serving",
    "benchmark",
    "commands",
)
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported_modules(path):
    """Every module that a file names in an import, wherever the statement stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports relatively; imports are absolute"
            yield node.module
            if node.module == "ealn_plugin":
                yield from (f"ealn_plugin.{alias.name}" for alias in node.names)


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    here = room_of(path)
    assert here in ROOMS, f"{here} is no room of the house; add it to ROOMS, below what uses it"
    for module in imported_modules(path):
        if module.startswith("ealn_plugin."):
            there = module.split(".")[1]
            if there in ROOMS:
                assert ROOMS.index(there) <= ROOMS.index(here), f"{here} imports {module}, which stands above it"


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_no_files_import_each_other_in_a_circle():
    names = {module_name(path): path for path in SOURCES}
    edges = {}
    for name, path in names.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                below = {f"{node.module}.{alias.name}" for alias in node.names} & set(names)
                found |= below or ({node.module} & set(names))
        # a package's own __init__ hands names on; what it imports does not make a circle with the package itself
        edges[name] = {other for other in found if not name.startswith(f"{other}.")}
    done, path, circles = set(), [], []

    def visit(name):
        if name in path:
            circles.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            path.append(name)
            for other in sorted(edges[name]):
                visit(other)
            done.add(path.pop())

    for name in sorted(names):
        visit(name)
    assert circles == []


def test_only_the_toolkit_imports_torchreid():
    guilty = [
        path
        for path in SOURCES
        if path.name != "toolkit.py" and any(module.split(".")[0] == "torchreid" for module in imported_modules(path))
    ]
    assert guilty == []


def test_losses_and_models_know_neither_configs_nor_files():
    for path in itertools.chain((PACKAGE / "losses").glob("*.py"), (PACKAGE / "models").glob("*.py")):
        assert not {"os", "pathlib", "yacs", "yaml", "json"} & set(imported_modules(path)), path


def test_every_room_says_in_its_first_line_what_it_holds():
    folders = {path.parent for path in SOURCES} - {PACKAGE}
    for folder in sorted(folders):
        tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{folder} has no sentence about itself"


def test_no_module_stands_loose():
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "toolkit.py"]


def test_tests_mirror_the_source():
    """Each test file in a room's folder has the name of a file of that room."""
    for test in sorted((ROOT / "tests").rglob("test_*.py")):
        room = test.relative_to(ROOT / "tests").parts[0]
        source = PACKAGE / test.relative_to(ROOT / "tests").parent / test.name.removeprefix("test_")
        if (PACKAGE / room).is_dir() and test not in EXCEPTIONS:
            assert source.exists(), f"{test} mirrors no file: there is no {source}"


# Whole subjects that no single file holds.
EXCEPTIONS = {
    ROOT / "tests" / name
    for name in (
        "commands/test_train_torchrun.py",
        "data/test_datasets_page.py",
        "distributed/test_two_processes.py",
        "engine/test_true_negatives.py",
        "engine/test_waiting.py",
    )
}
