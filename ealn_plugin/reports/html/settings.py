"""Sections that the configurations fill: what the runs are, and in which settings they differ."""

from ealn_plugin import config as configuration
from ealn_plugin.config import NAMES
from ealn_plugin.config.merging import flat
from ealn_plugin.reports.html.blocks import Line, Note, Section, Table


def overview(runs):
    """Section: one line per run with its scheme and its primary figures."""
    header = ("run", "method", "backbone", "seed", "epochs", "primary protocol", "mAP", "rank 1", "untrained mAP")
    lines, missing = [], []
    for run in runs:
        config = run.own_config
        cells = [
            run.label,
            NAMES.get(config.ealn.scheme, config.ealn.scheme),
            config.model.name,
            config.train.seed,
            config.train.max_epoch,
        ]
        if run.results is None:
            missing.append(run.label)
            lines.append(Line((*map(str, cells), *[""] * 4)))
            continue
        dataset, _, protocol = run.results["primary"].partition("/")
        metrics = run.results["datasets"][dataset][protocol]
        before = run.results.get("untrained", {}).get(dataset, {}).get(protocol, {})
        lines.append(
            Line(
                (
                    *map(str, cells),
                    run.results["primary"],
                    *map(_percent, (metrics["mAP"], metrics.get("rank1"), before.get("mAP"))),
                )
            )
        )
    blocks = [Table("Figures are percentages.", header, tuple(lines), names=6)]
    if missing:
        blocks.append(
            Note(
                f"No results.json of {', '.join(missing)}: the run is not finished, or its file cannot be "
                "read. Go on with model.resume; a page made after that has its figures.",
                missing=True,
            )
        )
    return Section("runs", "Runs", blocks)


def _percent(value):
    return "" if value is None else f"{100 * value:.1f}"


def settings(runs):
    """Section: where the runs differ, or where a single one differs from the defaults; below, every setting."""
    trees = [flat_settings(run.own_config) for run in runs]
    if len(runs) > 1:
        keys = [key for key in trees[0] if len({_text(tree[key]) for tree in trees}) > 1]
        caption = f"The {len(keys)} settings in which the runs differ; the other {len(trees[0]) - len(keys)} are equal."
        differing, columns = trees, [run.label for run in runs]
    else:
        defaults = flat_settings(configuration.default_config())
        keys = [key for key in trees[0] if _text(trees[0][key]) != _text(defaults[key])]
        caption = f"The {len(keys)} settings that are not the plugin's defaults."
        differing, columns = [*trees, defaults], [runs[0].label, "default"]
    blocks = [Table(caption, ("setting", *columns), _lines(keys, differing), names=len(columns) + 1)]
    blocks += [
        Table(f"All settings of {run.label}", ("setting", "value"), _lines(tree, [tree]), names=2, folded=True)
        for run, tree in zip(runs, trees)
    ]
    return Section("settings", "Settings", blocks)


def flat_settings(config):
    """{dotted key: value} of all that may change what a run computes; where it lay on disk is left out."""
    return flat(configuration.recorded(config))


def _lines(keys, trees):
    return tuple(Line((key, *(_text(tree[key]) for tree in trees))) for key in keys)


def _text(value):
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value != "" else "none"
