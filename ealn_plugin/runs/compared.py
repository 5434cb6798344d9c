"""The rows of the paper's Table I: EALN's ablation, and the systems that it is compared with, as one grid of runs.

A row is what makes a system what it is: scheme, losses, and the network around the backbone. Dataset, backbone, budget
and optimiser are those of the grid, for every row alike.
"""

import os
from collections.abc import Sequence
from typing import Any

import torch

from ealn_plugin import config as configuration
from ealn_plugin.config import CfgNode
from ealn_plugin.config.merging import flat, read_yaml
from ealn_plugin.config.shipped import COMPARED, shipped_configs
from ealn_plugin.runs.build_schemes import build_schemes
from ealn_plugin.runs.compared_networks import split_name
from ealn_plugin.runs.grid import GridCell, plan

ABLATION = ("en", "hard", "view", "hard_view")
RANKS = tuple(range(1, 21))
"""Of the CMC curves; they are tested and kept with the results of each run."""

_SHARED = (
    "ealn.render. ealn.generator. ealn.discriminator. ealn.cache_dir ealn.test_untrained ealn.warmup_epochs "
    "ealn.warmup_generator_epochs ealn.lr_warmup_epochs ealn.constant_epochs ealn.gan_optim ealn.gan_lr "
    "ealn.gan_beta1 ealn.gan_beta2 ealn.amp ealn.compile ealn.channels_last ealn.sync_norm ealn.sample_every "
    "ealn.diagnose_every ealn.loggers ealn.checkpoint_every ealn.beside ealn.start_from ealn.protocols ealn.imports "
    "ealn.view_order"
).split()
"""Settings of a row's file, or groups of them, in the place of which the grid's own count, beside all of torchreid's
but the losses' and the name of the network."""


def own_settings(row: str) -> dict[str, Any]:
    """{key: value} of what makes a compared system what it is, out of its file in configs/compared.

    Without model.name, see ``network_of``.
    """
    values = _settings_of(row)
    return {
        key: value
        for key, value in values.items()
        if key.startswith("loss.") or (key.startswith("ealn.") and not key.startswith(tuple(_SHARED)))
    }


def in_order(rows: Sequence[str]) -> list[str]:
    """Rows in the order of the table: other systems as ``configuration.NAMES`` has them, then EALN's ablation."""
    names = list(configuration.NAMES)
    return sorted(rows, key=lambda row: (row in ABLATION, names.index(own_scheme(row))))


def own_scheme(row: str) -> str:
    """The ealn.scheme of a row."""
    return row if row in ABLATION else _settings_of(row)["ealn.scheme"]


def _settings_of(row: str) -> dict[str, Any]:
    return flat(read_yaml(str(shipped_configs()[f"{COMPARED}/{row}.yaml"])))


def network_of(row: str, backbone: str) -> str:
    """The model.name of a compared system on a backbone: behind the prefix that its file has, if it has one."""
    return split_name(_settings_of(row)["model.name"])[0] + split_name(backbone)[1]


def plan_rows(
    out: str, rows: Sequence[str], seeds: Sequence[int], options: Sequence[Any], config: CfgNode
) -> list[GridCell]:
    """The runs of the rows, each seed's EN first.

    EALN's rows share EN's warm-up, as in ``plan``. The others begin on their own, with as many updates of D_emb.

    Args:
        out: folder of the grid. rows: names, those of configs/compared, and ABLATION. seeds: integers >= 0.
        options: [KEY, VALUE, ...] of every run; they also have the last word on what a row's file says.
        config: the configuration that the grid's file and the options give.
    Raises:
        ValueError: EN is missing, or a row or seed is given twice.
    """
    if len(set(rows)) < len(rows):
        raise ValueError(f"--rows are {' '.join(rows)}, expected each once")
    if "en" not in rows:
        raise ValueError(f"--rows are {' '.join(rows)}, expected en among them: the others are compared with it")
    ranks = () if "test.ranks" in options[::2] else ("test.ranks", list(RANKS))
    shared = (*ranks, *options)
    cells = plan(out, [row for row in rows if row in ABLATION], seeds, shared, config.ealn.warmup_epochs)
    others = [
        _cell(os.path.join(out, f"seed_{seed}", row), row, seed, shared, config)
        for seed in seeds
        for row in rows
        if row not in ABLATION
    ]
    order = {seed: at for at, seed in enumerate(seeds)}
    return sorted([*cells, *others], key=lambda cell: order[cell.seed])


def _cell(folder: str, row: str, seed: int, shared: Sequence[Any], config: CfgNode) -> GridCell:
    own = own_settings(row)
    options = [
        *(item for setting in own.items() for item in setting),
        *shared,
        *("model.name", network_of(row, config.model.name)),
        *("train.seed", seed),
        *("data.save_dir", folder),
    ]
    scheme = own["ealn.scheme"]
    return GridCell(row, seed, configuration.NAMES.get(scheme, row), folder, tuple(options))


def uses_of(config: CfgNode) -> tuple[str, ...]:
    """What a system of this configuration makes the feature of a test image of beyond its pixels, such as 'view'."""
    with torch.device("meta"):  # no weights are drawn
        schemes = build_schemes(config)
    weighed = [one for one in schemes if not one.makes_other_view or one.chooses_weight or one.fusion_weight]
    return tuple(dict.fromkeys(name for scheme in weighed for name in scheme.uses))
