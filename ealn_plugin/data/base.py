"""What the vehicle datasets share: checked splits, annotations beside the tuples, counts in the log."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ealn_plugin import toolkit
from ealn_plugin.data.annotations import APPEARANCE, ATTRIBUTES, MODELS, VIEWPOINTS, codes_of_group, read_models
from ealn_plugin.data.files import RENDERED_NOTE, is_rendered
from ealn_plugin.data.viewpoints import View, gather_views

log = logging.getLogger(__name__)

VIEW_PROTOCOLS = ("same_view", "cross_view", "all_views")


class VehicleDataset(toolkit.ImageDataset):
    """Base of the vehicle datasets; a subclass reads its release and hands over relative image names.

    Class attributes of every subclass: `dataset_names` (the names it is registered under), `folder_names`
    (accepted under root), `protocols` (names of evaluation protocols, the primary one first).
    """

    dataset_names: tuple[str, ...] = ()
    folder_names: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    view_protocols: tuple[str, ...] = ()
    """Added to the protocols where the view of a query and of a gallery image is known."""
    title = ""
    """What messages call it; '' is the name of the class."""
    min_view_confidence = 0.0
    """Lines of viewpoints.csv with a lower confidence, in [0, 1], count as unknown; set it on the class or
    subclass when the dataset is built by torchreid's data manager, which hands no extra arguments on."""

    def __init__(
        self,
        dataset_dir: str,
        splits: Mapping[str, Sequence[tuple[str, int, int]] | None],
        released_views: Mapping[str, View],
        groups: Mapping[str, int],
        min_view_confidence: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the splits, fill VIEWPOINTS and APPEARANCE, log the counts and initialise torchreid's part.

        Args:
            dataset_dir: absolute path of the dataset folder.
            splits: {'train' | 'query' | 'gallery': [(image, pid, camid)]}, image relative to `dataset_dir` with forward
                slashes. Train identities may have any numbers, they are relabelled 0..n-1 in sorted order; 'train' is
                None for a copy that has only the test part, the other two for one that has only the training part.
            released_views: {image: View} from the release's own files; viewpoints.csv overrides it.
            groups: {image: number of its appearance group}.
            min_view_confidence: see the class attribute, which is the default.
            **kwargs: torchreid's arguments (transform, mode, combineall, verbose, ...). Those meant for other
                datasets (split_id, cuhk03_*, market1501_500k) are ignored by torchreid's base class.

        Raises:
            ValueError: for an empty query or gallery, or a query set without a match.
        """
        self.dataset_dir = dataset_dir
        self.title = self.title or type(self).__name__
        _check_splits(self.title, dataset_dir, splits)
        splits = {split: items or [] for split, items in splits.items()}
        if min_view_confidence is None:
            min_view_confidence = self.min_view_confidence
        images = {image for split in splits.values() for image, _, _ in split}
        views = gather_views(dataset_dir, images, released_views, min_view_confidence)
        known = [any(views[image] != View.UNKNOWN for image, _, _ in splits[split]) for split in ("query", "gallery")]
        self.protocols = (*self.protocols, *(self.view_protocols if all(known) else ()))
        VIEWPOINTS.update({self._path(image): view for image, view in views.items()})
        APPEARANCE.update({self._path(image): groups.get(image, -1) for image in images})
        MODELS.update(self._models([item for items in splits.values() for item in items or ()], groups))
        if kwargs.get("verbose", True):
            self._log_counts(splits, views)
        labels = {pid: label for label, pid in enumerate(sorted({pid for _, pid, _ in splits["train"]}))}
        train = [(self._path(image), labels[pid], camid) for image, pid, camid in splits["train"]]
        query, gallery = (
            [(self._path(image), pid, camid) for image, pid, camid in splits[split]] for split in ("query", "gallery")
        )
        verbose = kwargs.pop("verbose", True)
        # torchreid looks at the first training image, so where there is none it is lent another one
        some = train or query
        if not query:
            kwargs["combineall"] = False
        super().__init__(train or some[:1], query or some[:1], gallery or some[:1], verbose=False, **kwargs)
        if not query:
            self.query, self.gallery = [], []
        if not train:
            self._have_no_training_images()
        self.verbose = verbose
        if verbose:
            self.show_summary()

    def _models(self, items: Iterable[tuple[str, int, int]], groups: Mapping[str, int]) -> dict[str, int]:
        """{image path: code of its vehicle's model}: by attributes.csv, else by what its appearance group tells.

        That is the model in VehicleID and the type in VeRI-776, whose releases know no more.
        """
        models = read_models(os.path.join(self.dataset_dir, ATTRIBUTES))
        found = {}
        for image, pid, _ in items:
            known = codes_of_group(groups[image])[1] if groups.get(image, -1) >= 0 else -1
            found[self._path(image)] = models.get(pid, -1) if models else known
        return found

    def _have_no_training_images(self):
        self.train, self.num_train_pids, self.num_train_cams = [], 0, 0
        if self.combineall:
            self.combine_all()
        if self.mode == "train":
            self.data = self.train

    def combine_all(self) -> None:
        """Add query and gallery to the training images (torchreid's combineall).

        torchreid's own version fails on a query vehicle that is absent from the gallery and keeps a stale
        number of cameras; identities and cameras are counted again here.
        """
        held_out = self.query + self.gallery
        pids = sorted({item[1] for item in held_out})
        labels = {pid: self.num_train_pids + number for number, pid in enumerate(pids)}
        self.train = self.train + [(path, labels[pid], *rest) for path, pid, *rest in held_out]
        self.num_train_pids = self.get_num_pids(self.train)
        self.num_train_cams = self.get_num_cams(self.train)

    def _path(self, image: str) -> str:
        return os.path.join(self.dataset_dir, *image.split("/"))

    def _log_counts(self, splits: Mapping[str, Any], views: Mapping[str, Any]) -> None:
        counts = ", ".join(
            f"{split} {len(items)} images of {len({pid for _, pid, _ in items})} vehicles "
            f"in {len({camid for _, _, camid in items})} cameras"
            for split, items in splits.items()
        )
        seen = Counter(views.values())
        log.info(
            "%s from %s: %s; views: %s",
            self.title,
            self.dataset_dir,
            counts,
            ", ".join(f"{seen[view]} {view.name.lower()}" for view in View),
        )
        if is_rendered(self.dataset_dir):
            log.warning("%s: %s", self.dataset_dir, RENDERED_NOTE)
        if not splits["train"]:
            log.warning("%s holds no training images: it can be tested on, not trained on", self.dataset_dir)


def camera_offset(cameras: Iterable[int]) -> int:
    """What to take from the numbers of a release's cameras so that they count from 0: 1 where they count from 1."""
    return int(min(cameras, default=0) >= 1)


def _check_splits(dataset: str, dataset_dir: str, splits: Mapping[str, Any]) -> None:
    """Raise ValueError where query or gallery is empty or no query has a gallery image from another camera."""
    for split, items in splits.items():
        if not items and items is not None:
            raise ValueError(
                f"{dataset}: found 0 images for the {split} split in {dataset_dir}, expected "
                f"at least one; unpack the release completely as datasets.md describes"
            )
    gallery_cameras = {}
    if splits["query"] is None:  # training images alone
        return
    for _, pid, camid in splits["gallery"]:
        gallery_cameras.setdefault(pid, set()).add(camid)
    unmatched = sum(not gallery_cameras.get(pid, set()) - {camid} for _, pid, camid in splits["query"])
    total = len(splits["query"])
    if unmatched == total:
        raise ValueError(
            f"{dataset}: a query set without a match in {dataset_dir}, because none of the {total} query "
            f"images has a gallery image of its vehicle from another camera; take both from the same release"
        )
    if unmatched:
        log.warning(
            "%s: %d of %d query images have no gallery image of their vehicle from another camera; "
            "evaluation skips them",
            dataset,
            unmatched,
            total,
        )
