"""Which network an index is searched with, and which images go into it, by the flags of a command line."""

import argparse
import os
from typing import Any, NamedTuple

from ealn_plugin.commands.arguments import check_file, check_runs, complete_from_weights, datasets_named, import_own
from ealn_plugin.config.resuming import CONFIG
from ealn_plugin.system.entrances import command, register


def check_network(args: argparse.Namespace) -> None:
    """Refuse flags of the network that do not go together, and files that are not there, before torch is imported.

    Raises:
        ValueError, FileNotFoundError, RuntimeError: with one sentence.
    """
    if args.run and (args.model or args.weights):
        given = f"--model {args.model}" if args.model else f"--weights {args.weights}"
        raise ValueError(f"--run {args.run} and {given} are both given, expected one network; leave one out")
    if args.model and not args.weights:
        raise ValueError(
            f"--model is {args.model!r} without --weights, expected both; give the file of its weights too"
        )
    if args.run.endswith(".onnx"):
        check_file(args.run, "--run", f"{command('export')}")
    else:
        check_runs([args.run] if args.run else [])
    check_file(args.weights, "--weights", "weights")
    check_file(args.classifier, "--classifier", command("label-viewpoints"))
    complete_from_weights(args)


def check_index(folder: Any) -> None:
    """Refuse a folder that holds no index.

    Raises:
        FileNotFoundError: one sentence.
    """
    if "://" not in folder and not os.path.isfile(os.path.join(folder, "manifest.json")):
        raise FileNotFoundError(f"--index {folder!r} holds no index; make one with {command('search')} index")


def sources_of(args: argparse.Namespace) -> list[str]:
    """What --data and the sources name, a CSV or folder of --data as the name of a dataset.

    Raises:
        ValueError, FileNotFoundError: nothing, or what is not there; one sentence.
    """
    sources = [*args.sources, *datasets_named(None, args.data, "--data")]
    if not sources:
        raise ValueError("there is nothing to add, expected a folder, an image, a dataset or --data PATH; give one")
    return sources


def split_options(run: Any) -> dict[str, Any]:
    """How the run of an index splits datasets without a split of their own, so that its gallery is the run's.

    Args:
        run: run folder or checkpoint, or an ONNX file in the folder export/ of one; '' or None: no run.
    """
    if run and run.endswith(".onnx"):
        run = os.path.dirname(os.path.dirname(os.path.abspath(run)))
        run = run if os.path.isfile(os.path.join(run, CONFIG)) else ""
    if not run:
        return {}
    from ealn_plugin.config import run_config
    from ealn_plugin.runs.folder import files_of_run, splits_of_run

    folder = os.path.dirname(files_of_run(run, "--run")[0])
    splits = splits_of_run(folder)
    return {"split_id": run_config(folder).data.split_id, **({"recorded_splits": splits} if splits else {})}


def load(args: argparse.Namespace) -> None:
    """Import what was put off, the engine and the user's own modules included.

    Raises:
        RuntimeError: a package is missing. ValueError: a module of the user's own cannot be imported.
    """
    register()
    if "imports" in args:
        import_own(args)
    from ealn_plugin.search.table import import_lance

    import_lance()


def described(args: argparse.Namespace) -> Any:
    """The ``description`` of the network that the flags name, or None where they name none."""
    from ealn_plugin.search import gallery

    if not args.run and not args.model:
        return None
    if args.run:
        return gallery.description(
            args.run, classifier=args.classifier, fusion=not args.no_fusion, imports=args.imports
        )
    return gallery.description(
        model=args.model,
        weights=args.weights,
        classifier=args.classifier,
        fusion=not args.no_fusion,
        imports=args.imports,
        height=args.height,
        width=args.width,
        norm_mean=args.norm_mean,
        norm_std=args.norm_std,
    )


class LabelledImages(NamedTuple):
    """Images whose vehicles are known, with the network of an index; ``name``: what the user called them."""

    name: str
    records: Any
    extractor: Any
    skip_unreadable: bool

    def features(self) -> tuple[Any, Any]:
        """(records of the images that can be read, their features, float32 [n, dim])."""
        import numpy as np

        from ealn_plugin.search import Records, gallery

        parts = list(gallery.features_of(self.extractor, self.records, self.skip_unreadable))
        empty = np.empty((0, self.extractor.dim), np.float32)
        return (
            Records.joined(records for records, _ in parts),
            np.concatenate([empty, *(features for _, features in parts)]),
        )


def labelled_images(args: argparse.Namespace) -> LabelledImages:
    """The images of the sources whose vehicles are known, for the index of the flags.

    Raises:
        ValueError: the flags name another network than that of the index.
    """
    import numpy as np

    from ealn_plugin.search import gallery
    from ealn_plugin.search.store import Store

    manifest, sources = Store(args.index).manifest, sources_of(args)
    run = args.run or manifest.extractor.get("run", "")
    found = gallery.images_of(sources, args.root, args.split, **split_options(run))
    labelled = found.take(np.flatnonzero([bool(vehicle) for vehicle in found.vehicles]))
    extractor, _ = extractor_of(args, manifest)
    if extractor.identity != manifest.identity:
        raise ValueError(f"--index {args.index!r} was built with another network; leave --run and --weights out")
    return LabelledImages(f"{' '.join(sources)} ({' '.join(args.split)})", labelled, extractor, args.skip_unreadable)


def extractor_of(args: argparse.Namespace, manifest: Any = None) -> Any:
    """The FeatureExtractor of the flags, or else of the index, and its description."""
    from ealn_plugin.search import gallery

    description = described(args)
    if description is None:
        description = dict(manifest.extractor)
        if args.classifier:
            description["classifier"] = os.path.abspath(args.classifier)
        if args.no_fusion:
            description["fusion"] = False
    return gallery.make_extractor(
        description, device=args.device, batch_size=args.batch_size, workers=args.workers, precision=args.precision
    ), description
