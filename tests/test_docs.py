"""The pages for those who work on the code: every file, function and test that they name exists."""

import ast
import re

import pytest

from tests.helpers.pages import ROOT
from tests.test_architecture import PACKAGE, ROOMS, SOURCES

ARCHITECTURE, EQUATIONS, CONTRIBUTING, CHANGELOG = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("docs/architecture.md", "docs/equations.md", "CONTRIBUTING.md", "CHANGELOG.md")
)
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::([\w.]+)`", EQUATIONS)))


def definitions(path):
    """Names of the functions and classes of a file, those inside a class as Class.name."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return names


def rows(text):
    """Cells of the lines of a page's tables, heads and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda value: value)
def test_what_the_equations_name_exists(file, name):
    is_test = file.rpartition("/")[2].startswith("test_")
    path = (ROOT / "tests" if is_test else PACKAGE) / file
    assert path.exists(), f"docs/equations.md names {file}, which does not exist"
    assert name in definitions(path), f"docs/equations.md names {name}, which {file} does not define"


def test_every_equation_has_code_and_a_test():
    found = {cells[0]: cells for cells in rows(EQUATIONS)}
    for number in range(1, 15):
        *_, code, test = found[f"({number})"]
        assert "::" in code and "test_" in test, f"Eq. {number} has no code or no test in docs/equations.md"
    assert any("fused feature" in name for name in found) and {"CMC"} <= set(found)


def test_the_files_of_the_index_exist():
    index = ARCHITECTURE.partition("## Rooms")[0]
    named = [file for cells in rows(index) for file in re.findall(r"`([\w/]+\.py)`", cells[-1])]
    assert len(named) > 40
    assert [file for file in named if not (PACKAGE / file).exists()] == []


def test_the_table_of_rooms_is_the_order_of_the_house():
    table = ARCHITECTURE.partition("## Rooms")[2].partition("```mermaid")[0]
    named = [cells[0].strip("`") for cells in rows(table)][1:]
    assert named == list(ROOMS)


def test_an_arrow_of_the_drawing_is_an_import():
    """An arrow says that a file of one room imports the other, and none points upwards."""
    drawing = ARCHITECTURE.partition("```mermaid")[2].partition("```")[0]
    present = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in SOURCES}
    arrows = set()
    for line in drawing.splitlines():
        stations = [part.replace(" ", "").split("&") for part in line.split("-->")]
        arrows |= {(a, b) for first, second in zip(stations, stations[1:]) for a in first for b in second}
    assert len(arrows) > 15
    for above, below in sorted(arrows):
        assert ROOMS.index(below) < ROOMS.index(above)
        if above in present:
            text = "".join(path.read_text(encoding="utf-8") for path in (PACKAGE / above).rglob("*.py"))
            assert re.search(rf"ealn_plugin\.{below}\b|ealn_plugin import .*\b{below}\b", text), f"{above}: no {below}"


def test_what_the_recipes_name_exists():
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[\w]+\.(?:py|md))?)`", CONTRIBUTING))
    assert len(named) > 20
    missing = [file for file in sorted(named) if not (ROOT / file).exists() and not (PACKAGE / file).exists()]
    assert missing == []


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("masked_mean", "losses/reduction.py"),
        ("SCHEMES", "config/scheme_names.py"),
        ("GENERATOR_FREE", "config/scheme_names.py"),
        ("_BUILDERS", "runs/build_schemes.py"),
        ("PROTOCOLS", "evaluation/protocols.py"),
        ("malformed", "data/files.py"),
        ("DATASETS", "data/__init__.py"),
        ("VehicleDataset", "data/base.py"),
    ],
)
def test_the_recipes_say_where_a_name_stands(name, file):
    assert f"`{name}`" in CONTRIBUTING and re.search(rf"\b{name}\b", (PACKAGE / file).read_text(encoding="utf-8"))


def test_links_lead_somewhere():
    for name in ("CONTRIBUTING.md", "docs/architecture.md", "docs/equations.md", "docs/schemes.md"):
        page = ROOT / name
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{name} links to {target}"


def test_the_changelog_knows_the_present_version():
    version = re.search(r'__version__ = "([\d.]+)"', (PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    assert "## [Unreleased]" in CHANGELOG
    assert version is None or f"## [{version[1]}]" in CHANGELOG


def public_functions(path):
    """(name, function) of what a file offers: functions and methods without a leading underscore, and constructors."""

    def visit(body, prefix):
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from visit(node.body, f"{node.name}.")
            elif isinstance(node, ast.FunctionDef) and (
                node.name in ("__init__", "__call__") or not node.name.startswith("_")
            ):
                yield f"{prefix}{node.name}", node

    yield from visit(ast.parse(path.read_text(encoding="utf-8")).body, "")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_functions_have_type_hints(path):
    """mypy demands it in the four strict rooms; here for all of them."""
    for name, node in public_functions(path):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        bare = [a.arg for a in every if a is not None and a.annotation is None and a.arg not in ("self", "cls")]
        assert not bare, f"{name} has no type for {', '.join(bare)}; add it"
        assert node.returns is not None, f"{name} does not say what it returns; add -> None or the type"
