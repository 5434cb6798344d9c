"""ealn_plugin/reports/plain_names.py: everything that the code logs has words."""

import pathlib
import re

import ealn_plugin
from ealn_plugin.reports.plain_names import DIAGNOSTICS, GROUPS, group_of, kind_name, plain_name


def logged_names():
    """Names of losses and distances in the source, with every value that a placeholder takes."""
    package = pathlib.Path(ealn_plugin.__file__).parent
    for path in [*package.glob("schemes/*.py"), package / "engine" / "step.py"]:
        for name in re.findall(r'"((?:loss|distance)/[\w{}.]+)"', path.read_text(encoding="utf-8")):
            if name in ("loss/E_{name}", "distance/{name}"):  # the parts of EN, and of the schemes
                continue
            for value in ("rear", "front") if "{target}" in name or "{made}" in name else ("hard", "paste"):
                yield re.sub(r"\{[\w.]+\}", value, name)


def test_every_logged_value_has_a_name_and_a_group():
    names = set(logged_names())
    assert {"loss/E_hard", "loss/G_rear_near", "distance/front", "loss/D_rf"} <= names
    assert [name for name in sorted(names) if plain_name(name) == name] == []
    assert {group_of(name) for name in names} <= {title for title, _ in GROUPS[:-1]}


def test_names_of_other_versions_stay_as_they_are():
    assert plain_name("loss/new") == "loss/new" and group_of("rate/new") == "Other values" and kind_name("x") == "x"
    assert plain_name("weight/hard") == "weight of the loss on generated images (hard)"
    assert kind_name("neutral") == "Neutral twins of the hard negatives" and len(DIAGNOSTICS) > 10
