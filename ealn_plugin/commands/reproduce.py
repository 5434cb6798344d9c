"""The paper's tables: ealn reproduce --config-file ealn_synthetic_grid.yaml --preset demo"""

import argparse
import csv
import io
import logging
import os
from collections.abc import Sequence
from typing import Any

from ealn_plugin import config as configuration
from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import Parser, add_imports, add_own_data, add_settings, datasets_named
from ealn_plugin.commands.grid_workers import add_workers, check_installed, check_workers, workers_of
from ealn_plugin.config.shipped import compared_rows
from ealn_plugin.runs.folder import rendered_datasets
from ealn_plugin.system.cli import exit_code, start_log
from ealn_plugin.system.entrances import register
from ealn_plugin.system.files import write_atomically

log = logging.getLogger("reproduce")

TABLE_CONFIG = "ealn_synthetic_grid.yaml"
TABLE_ROWS = (*compared_rows(), *choices.ABLATION)
SWEEP = {"beta1": (0.2, 0.4, 0.6, 0.8, 1.0), "beta2": (0.1, 0.2, 0.3, 0.4, 0.5)}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags of train_ealn.py and those of a grid."""
    parser = Parser(
        "reproduce",
        "Run schemes x seeds with the same number of embedding updates and print the paper's tables.",
        settings=True,
    )
    _add_grid(parser)
    add_workers(parser)
    parser.add_argument("--out", default="log/reproduce", help="folder of the grid; what is finished there is kept")
    parser.add_argument("--root", default="", help="folder that holds the dataset folders")
    parser.add_argument("-s", "--sources", nargs="+", help="training datasets")
    parser.add_argument("-t", "--targets", nargs="+", help="test datasets")
    add_own_data(parser)
    add_imports(parser)
    add_settings(parser)
    args = parser.parse_with_settings(arguments)
    if not args.config_file and args.table is None:
        parser.error("--config-file is missing, expected a YAML file of settings, or --table 1")
    if args.table is not None and (args.sweep or args.bounds):
        parser.error(f"--table {args.table} was given with --sweep or --bounds, expected it alone; leave them out")
    check_workers(parser, args)
    args.config_file = args.config_file or TABLE_CONFIG
    return args


def _add_grid(parser):
    parser.add_argument(
        "--config-file",
        default="",
        help=f"YAML file of settings, or a name of the plugin's own; --table: {TABLE_CONFIG} where none is given",
    )
    parser.add_argument(
        "--table",
        type=int,
        choices=[1],
        help="Table I: EALN's ablation beside the systems that it is compared with, instead of --schemes",
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=TABLE_ROWS,
        default=list(TABLE_ROWS),
        metavar="ROW",
        help=f"of --table: of {', '.join(TABLE_ROWS)}; en must be among them",
    )
    parser.add_argument(
        "--preset",
        choices=choices.GRID_PRESETS,
        default="full",
        help="demo: about an hour on two cores for three seeds; full: the file as it is",
    )
    parser.add_argument(
        "--schemes",
        nargs="+",
        default=list(choices.GRID_SCHEMES),
        choices=configuration.SCHEMES,
        metavar="SCHEME",
        help=f"of {', '.join(configuration.SCHEMES)}",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="one run of each scheme per seed")
    parser.add_argument(
        "--sweep",
        nargs="+",
        choices=sorted(SWEEP),
        default=[],
        help="also vary these margins under Hard-EALN (Fig. 10)",
    )
    parser.add_argument(
        "--bounds",
        action="store_true",
        help="on rendered datasets: run hard_truth as well, and print what the truth gives and gains as a share of it",
    )


def reproduce(args: argparse.Namespace) -> None:
    """Run what is missing of the grid, print and write its tables."""
    flags = dict(
        root=args.root,
        sources=datasets_named(args.sources, args.data, "-s"),
        targets=datasets_named(args.targets, args.data, "-t"),
        imports=args.imports,
    )
    configuration.load_config(args.config_file, args.opts, training=True, **flags)
    check_installed(args)
    register()
    if args.table is not None:
        from ealn_plugin.commands.table_one import run_table

        run_table(args, flags)
        return
    from ealn_plugin.reports import bounds
    from ealn_plugin.reports import paper_tables as grids
    from ealn_plugin.runs import grid as reproduction
    from ealn_plugin.runs.truth import render_truth

    options = [*reproduction.PRESETS[args.preset], *args.opts]
    config = configuration.load_config(args.config_file, options, training=True, **flags)
    warmup = config.ealn.warmup_epochs
    schemes = list(dict.fromkeys([*args.schemes, bounds.TRUTH])) if args.bounds else args.schemes
    runs = reproduction.plan(args.out, schemes, args.seeds, options, warmup)
    cells = reproduction.sweep(args.out, args.seeds, options, {name: SWEEP[name] for name in args.sweep}, warmup)
    start_log(args.out, "reproduce.log")
    if args.bounds:
        render_truth(config)
    every = [*runs, *(run for _, _, run in cells)]
    results = reproduction.execute_all(every, args.config_file, workers_of(args, every, config.use_gpu), **flags)
    grid = grids.Grid({(run.scheme, run.seed): found for run, found in zip(runs, results)})
    found = [
        (name, value, run.seed, grids.Grid({("hard", run.seed): one}).mean("hard", grid.protocol, "mAP").mean)
        for (name, value, run), one in zip(cells, results[len(runs) :])
    ]
    known = bounds.bounds_tables(bounds.measure_bounds(grid, runs)) if args.bounds else {}
    write(args.out, grid, found, known, sorted({name for each in every for name in rendered_datasets(each.folder)}))


def write(out: str, grid: Any, found: Any, known: Any, rendered: Any = ()) -> None:
    """tables.md, one CSV per table, sweep.csv, and the tables on the screen.

    Args:
        out: folder of the grid. grid: of the runs. found: of the sweep. known: {title: rows} of the bounds.
        rendered: names of the datasets that are rendered, which the tables say.
    """
    from ealn_plugin.data.files import RENDERED_NOTE
    from ealn_plugin.reports import paper_tables as grids

    notes = [f"{name}: {RENDERED_NOTE}" for name in rendered]
    tables = grids.tables(grid)
    files = [f"table_{number}" for number, _ in enumerate(tables, 1)]
    files += [title.partition(":")[0].lower().replace(" ", "_") for title in known]
    tables |= known
    for file, rows in zip(files, tables.values()):
        columns = list(dict.fromkeys(column for row in rows for column in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(os.path.join(out, f"{file}.csv"), text.getvalue())
    write_atomically(
        os.path.join(out, "tables.md"),
        "\n\n".join([*(grids.as_markdown(title, rows) for title, rows in tables.items()), *notes]) + "\n",
    )
    if found:
        lines = ["margin,value,seed,mAP"] + [f"{name},{value:g},{seed},{mean:.6f}" for name, value, seed, mean in found]
        write_atomically(os.path.join(out, "sweep.csv"), "\n".join(lines) + "\n")
    for title, rows in tables.items():
        log.info("\n%s", grids.as_text(title, rows))
    for note in notes:
        log.info("\n%s", note)
    log.info("\ntables: %s", os.path.join(out, "tables.md"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    args = parse_arguments(arguments)
    return exit_code(lambda: run(args), "stopped; the same command goes on where it stopped")


def run(args: argparse.Namespace) -> None:
    """``reproduce``, without the advice of an interrupted run on how to go on with it alone."""
    try:
        reproduce(args)
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None
