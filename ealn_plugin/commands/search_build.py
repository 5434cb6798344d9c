"""``ealn search index`` and ``add``: images into an index, by one process or by all that torchrun has started."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from ealn_plugin.commands.arguments import check_file
from ealn_plugin.commands.choices import VIDEOS
from ealn_plugin.commands.search_network import (
    check_index,
    check_network,
    extractor_of,
    load,
    sources_of,
    split_options,
)
from ealn_plugin.runs.references import NOTICE, SHIPPED
from ealn_plugin.system.entrances import command
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.messages import counted

log = logging.getLogger(__name__)


def processes() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _together(work: Callable[[argparse.Namespace, Any], None], args: argparse.Namespace) -> None:
    """Call ``work(args, world)``, with None for a process that is alone.

    torchrun's processes meet before anything is checked: of several with the same error only one tells it.
    """
    if processes() == 1:
        work(args, None)
        return
    from ealn_plugin.distributed.world import joined

    with joined() as world:
        work(args, world)


def index_command(args: argparse.Namespace) -> None:
    """Build an index, or go on building it."""
    _together(_index, args)


def _index(args: argparse.Namespace, world: Any) -> None:
    check_extra("search", ("lance",), "searches")
    sources = _checked_sources(args)
    if not (args.run or args.model or args.weights):
        if world is None or world.is_main:
            print(f"note: {NOTICE} (--run, --weights)", file=sys.stderr)
        args.weights = SHIPPED
    check_network(args)
    load(args)
    from ealn_plugin.search import IndexWriter

    if _helped(args, world, None):
        return
    images = _images(args, sources, args.run)
    extractor, description = extractor_of(args)
    with IndexWriter(
        args.index, extractor.dim, extractor.identity, description, args.kind, args.nlist, args.nprobe
    ) as writer:
        if writer.manifest.complete:
            raise ValueError(
                f"--index {args.index!r} holds a finished index of {counted(writer.manifest.images, 'image')}; add "
                f"to it with {command('search')} add, or choose another folder"
            )
        if writer.manifest.images:
            print(f"going on with what is in the index already: {counted(writer.manifest.images, 'image')}")
        _extend(writer, extractor, images(), args.skip_unreadable, world)


def add_command(args: argparse.Namespace) -> None:
    """Add images to an index."""
    _together(_add, args)


def _add(args: argparse.Namespace, world: Any) -> None:
    check_extra("search", ("lance",), "searches")
    sources = _checked_sources(args)
    check_network(args)
    check_index(args.index)
    load(args)
    from ealn_plugin.search import IndexWriter
    from ealn_plugin.search.store import Store

    manifest = Store(args.index).manifest if world is None else world.on_main(lambda: Store(args.index).manifest)
    if _helped(args, world, manifest):
        return
    images = _images(args, sources, args.run or manifest.extractor.get("run", ""))
    extractor, _ = extractor_of(args, manifest)
    with IndexWriter.open(args.index, extractor.identity) as writer:
        _extend(writer, extractor, images(), args.skip_unreadable, world)


def _helped(args: argparse.Namespace, world: Any, manifest: Any) -> bool:
    """Do the part of a process that is not the main one; False in the main process, and where there is only one."""
    if world is None:
        return False
    import torch

    from ealn_plugin.distributed.world import check_device
    from ealn_plugin.search import sharing

    check_device(world, torch.cuda.is_available() and not (args.device or "cuda").startswith("cpu"))
    if world.is_main:
        return False
    extractor, _ = extractor_of(args, manifest)
    sharing.help_adding(extractor, world)
    return True


def _checked_sources(args: argparse.Namespace) -> list[str]:
    """``sources_of``; what --detect needs is looked at before torch is imported.

    Raises:
        ValueError, FileNotFoundError, RuntimeError: one sentence.
    """
    sources = sources_of(args)
    if not args.detect:
        videos = [source for source in sources if source.lower().endswith(VIDEOS)]
        if videos:
            raise ValueError(
                f"{videos[0]!r} is a video, expected images, folders or datasets without --detect; name a detector "
                "with --detect DETECTOR.onnx"
            )
        return sources
    if args.data:
        raise ValueError("--data and --detect are both given, expected one; name videos or folders of frames as SOURCE")
    check_extra("detect", ("onnxruntime", "supervision"), "vehicles in videos")
    check_file(args.detect, "--detect", "a YOLO-style detector in the format ONNX")
    missing = [source for source in sources if not os.path.exists(source)]
    if missing:
        raise FileNotFoundError(f"there is no video or folder of frames {missing[0]!r}; check the path")
    if not args.crops:
        if "://" in args.index:
            raise ValueError(f"--index is {args.index!r}, so crops need a folder of their own; give --crops DIR")
        args.crops = f"{os.path.normpath(args.index)}-crops"
    return sources


def _images(args: argparse.Namespace, sources: list[str], run: Any) -> Callable[[], Any]:
    """Checks all that can be checked in no time; what it returns gives the images as ``images_and_cameras`` does."""
    if not args.detect:
        from ealn_plugin.search import gallery

        found = gallery.images_and_cameras(sources, args.root, args.split, **split_options(run))
        return lambda: found
    from ealn_plugin.data.times import time_number
    from ealn_plugin.detection import ClipCropper, Detector, Settings
    from ealn_plugin.detection.video import Clip
    from ealn_plugin.search.clips import images_of_clips

    if args.start:
        time_number(args.start)
    settings = Settings(args.crops_per_track, args.detect_every)
    detector = Detector(args.detect, args.detect_classes, args.detect_confidence, device=args.device)
    clips = [Clip(source, args.fps) for source in sources]
    cropper = ClipCropper(detector, args.crops, settings)
    return lambda: [(images_of_clips(cropper, clips, args.camera, args.start), None)]


def _extend(writer: Any, extractor: Any, found: Any, skip_unreadable: bool, world: Any) -> None:
    from ealn_plugin.search import Records, gallery, results, sharing

    gathered, found = found, Records.joined(records for records, _ in found)
    new = found.take(writer.absent(found.paths))
    if world is None:
        added = writer.add(gallery.features_of(extractor, new, skip_unreadable))
    else:
        added = sharing.add_shared(writer, extractor, new, skip_unreadable, world)
    _place(writer, [distances for _, distances in gathered if distances is not None])
    writer.finish()
    before = len(found) - len(new)
    print(
        f"{counted(added, 'image')} added, {before} {'was' if before == 1 else 'were'} there before, "
        f"{len(new) - added} could not be read"
    )
    print("\n".join(results.summary(writer.folder, writer.manifest)))


def _place(writer: Any, known: list[Any]) -> None:
    """Keep the distances between the cameras of one dataset: cameras of two may be called alike."""
    kept = writer.manifest.places.get("distance", {}).get("source")
    for distances in known:
        if kept in (None, distances.source):
            writer.place(distances)
        else:
            log.warning(
                "the distances between the cameras of %s are not taken, as the index has those of %s; make an index of "
                "its own for each",
                distances.source,
                kept,
            )
        kept = kept or distances.source
