"""Features of any images from a trained network: what a user of the result calls."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import torch
from tqdm import tqdm

from ealn_plugin.data.annotations import VIEWPOINTS
from ealn_plugin.data.viewpoints import View, view_from_name
from ealn_plugin.inference.image_inputs import as_list, name_of, read
from ealn_plugin.inference.networks import PRECISIONS, FeatureNetwork, OnnxNetwork, TorchNetwork
from ealn_plugin.inference.prepared_images import PreparedImages
from ealn_plugin.labelling import classifier as viewpoint_classifier
from ealn_plugin.runs import loading
from ealn_plugin.system.entrances import command

log = logging.getLogger(__name__)

MIN_CONFIDENCE = 0.9
"""Predicted views that are less probable count as unknown, as in ``ealn label-viewpoints``."""


@dataclass(frozen=True)
class Extracted:
    """Features of some of the images that were given.

    Attributes:
        features: float32 [n, dim] on the CPU, rows of length 1.
        rows: list of n positions in the list of images, ascending; those that cannot be read are missing.
        views: int64 [n], the values of ``View`` that were used; -1 where none was known.
        unreadable: {position: sentence} of the images that cannot be read.
    """

    features: torch.Tensor
    rows: list
    views: torch.Tensor
    unreadable: dict = field(default_factory=dict)


class FeatureExtractor:
    """L2-normalised features of images, the same numbers as in the test phase of training.

    Args:
        run: run folder of ``ealn train``, one of its checkpoint_*.pth.tar, or a ``LoadedRun``; a file of safetensors of
            ``ealn export``, or 'hf:OWNER/NAME'; or an ONNX file of ``ealn export``, which onnxruntime runs, several
            times as fast on a processor. None: the network that comes with the package, with a warning that says what
            it was trained on. For weights in torchreid's own format see ``from_model``.
        device: 'cpu', 'cuda', ...; None: CUDA where there is one. A LoadedRun stays where it is.
        batch_size: images at a time; the features do not depend on it (beyond 1e-6, the rounding of float32).
        precision: 'fp32', or 'bf16' or 'fp16' for autocast, whose features differ in the third digit.
        fusion: where the run has a generator of other views, give the fused front and rear feature, twice as long;
            an image whose view is neither has its own feature twice. False: the embedding network's own.
        classifier: what tells front from rear for views='predict': a file of ``ealn label-viewpoints`` or a
            ``ViewpointClassifier``.
        workers: processes that read and resize images; 0: threads of this one, beside the network.

    Attributes:
        network: what computes the features, a ``FeatureNetwork``. run: the ``LoadedRun``, None for an ONNX file.
        dim: length of a feature.

    Raises:
        FileNotFoundError, CheckpointError, ValueError: no such run, broken files, or an argument out of range.
    """

    def __init__(
        self,
        run: Any = None,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 64,
        precision: str = "fp32",
        fusion: bool = True,
        classifier: Any = None,
        workers: int = 0,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
        for name, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}, expected a whole number of at least {least}")
        self.batch_size, self.precision, self.workers = batch_size, precision, workers
        self.run: loading.LoadedRun | None = None
        if isinstance(run, (str, PathLike)) and fspath(run).endswith(".onnx"):
            self.network: FeatureNetwork = _onnx_network(run, device, precision, fusion)
        else:
            self.run = run if isinstance(run, loading.LoadedRun) else loading.load_run(run, checked_device(device))
            self.network = TorchNetwork(self.run, fusion, precision)
        if isinstance(classifier, viewpoint_classifier.ViewpointClassifier) or classifier is None:
            self.classifier = classifier
        else:
            self.classifier, _ = viewpoint_classifier.load_classifier(
                classifier, torch.device("cpu") if self.run is None else self.run.device
            )
        self.dim = self.network.dim

    @classmethod
    def from_model(
        cls,
        model: str,
        weights: str,
        *,
        height: int | None = None,
        width: int | None = None,
        norm_mean: Sequence[float] | None = None,
        norm_std: Sequence[float] | None = None,
        device: Any = None,
        **options: Any,
    ) -> "FeatureExtractor":
        """A FeatureExtractor of any torchreid model with weights in torchreid's format or a plain state dict.

        Args:
            model: name, such as 'resnet50'; weights: file, such as model/model-last.pth.tar of a run.
            height, width: of the images in pixels; norm_mean, norm_std: of their normalization. By default 224 pixels
                and ImageNet's, of a timm model those of its own config.
            options: batch_size, precision, workers as in the constructor.
        Raises:
            FileNotFoundError, ValueError: no such file or model, or weights of another model.
        """
        return cls(
            loading.load_model(model, weights, height, width, norm_mean, norm_std, checked_device(device)), **options
        )

    @property
    def identity(self) -> dict[str, Any]:
        """All that the features depend on but the images and the precision, as JSON values.

        Features of extractors with equal identities may be compared with each other.
        """
        return self.network.identity

    def __call__(
        self, images: Any, views: Any = None, progress: bool = False, *, predict: bool = False
    ) -> torch.Tensor:
        """Features of one image or many.

        Args:
            images: one image or a list of them, each one of
                - the path of a file, or a ``PIL.Image`` of any mode;
                - a numpy array [height, width, 3], RGB: of 8 or 16 bits, or floating point in [0, 1];
                - a tensor [3, height, width], RGB: uint8, or floating point in [0, 1].
                All of them are read by the one rule of ``system/pictures.py``.
                Arrays and tensors may also hold many images in a leading dimension. Every size is resized to the
                network's. A floating-point tensor is not rounded to 8 bits on the way, all others are, as files are.
            views: from which side the vehicles are seen, for the fused feature; None: what the datasets built in this
                process know of the paths (viewpoints.csv among it); 'predict': the classifier where they know
                nothing; or one ``View`` or name ('front', 'rear', 'side', 'unknown') for each image.
            predict: have the classifier predict the views that are unknown among those; views='predict' is short for
                it.
            progress: show a progress bar.
        Returns:
            float32 tensor [n, dim] on the CPU, a row for each image, n = 1 for one image.
        Raises:
            FileNotFoundError, UnreadableImageError, ValueError: naming the image that cannot be used.
        """
        return self.extract(images, views, progress=progress, predict=predict).features

    def extract(
        self,
        images: Any,
        views: Any = None,
        skip_unreadable: bool = False,
        progress: bool = False,
        *,
        predict: bool = False,
    ) -> Extracted:
        """As calling it, but tells which views were used and can pass over images that cannot be read.

        Returns:
            Extracted
        """
        parts = list(self.batches(images, views, skip_unreadable, progress, predict=predict))
        if not parts:
            return Extracted(torch.empty(0, self.dim), [], torch.empty(0, dtype=torch.long))
        return Extracted(
            torch.cat([part.features for part in parts]),
            [row for part in parts for row in part.rows],
            torch.cat([part.views for part in parts]),
            {row: why for part in parts for row, why in part.unreadable.items()},
        )

    def batches(
        self,
        images: Any,
        views: Any = None,
        skip_unreadable: bool = False,
        progress: bool = False,
        *,
        predict: bool = False,
    ) -> Iterator[Extracted]:
        """As ``extract``, batch by batch, for more images than fit in memory: yields Extracted.

        Raises:
            FileNotFoundError, UnreadableImageError, ValueError: as for calling it, once the image's turn has come.
        """
        images = as_list(images)
        if isinstance(views, str) and views == "predict":
            views, predict = None, True
        if predict and self.classifier is None:
            raise ValueError(
                "views is 'predict', but there is no classifier; give classifier=FILE, a file that "
                f"{command('label-viewpoints')} has saved"
            )
        known = _known_views(images, views)
        prepared_images = PreparedImages(images, self.network.transform, self.network.size)
        loader = prepared_images.batches(self.batch_size, self.workers)
        done = 0
        with tqdm(
            total=len(images), desc="features", unit="img", disable=not progress, leave=False, dynamic_ncols=True
        ) as bar:
            for prepared in loader:
                rows = range(done, done + len(prepared))
                done += len(prepared)
                failed = {row: item for row, item in zip(rows, prepared) if isinstance(item, Exception)}
                for error in failed.values():
                    if not skip_unreadable or isinstance(error, ValueError):
                        raise error
                rows = [row for row in rows if row not in failed]
                yield self._features(
                    [item for item in prepared if not isinstance(item, Exception)],
                    rows,
                    images,
                    known[rows],
                    predict,
                    {row: str(why) for row, why in failed.items()},
                )
                bar.update(len(prepared))

    def _features(
        self,
        tensors: list[torch.Tensor],
        rows: Any,
        images: Any,
        seen: torch.Tensor,
        predict,
        unreadable: dict[int, str],
    ) -> Extracted:
        """The Extracted of one batch of prepared images."""
        if not rows:
            return Extracted(torch.empty(0, self.dim), rows, seen, unreadable)
        if predict:
            seen = self._predicted(seen, [images[row] for row in rows])
        return Extracted(self.network.features(torch.stack(tensors), seen), rows, seen, unreadable)

    # ------------------------------------------------------------------------------------------ views
    def _predicted(self, seen: torch.Tensor, images: Any) -> torch.Tensor:
        """The views that are known, and predictions for the other images."""
        unknown = (seen == View.UNKNOWN).nonzero().flatten().tolist()
        if not unknown:
            return seen
        pixels = torch.stack(
            [viewpoint_classifier.as_pixels(read(images[row]), self.classifier.size) for row in unknown]
        )
        confidence, place = viewpoint_classifier.probabilities(self.classifier, pixels).max(1)  # type: ignore[arg-type]
        predicted = torch.tensor([int(view) for view in viewpoint_classifier.CLASSES])[place]
        seen = seen.clone()
        seen[unknown] = torch.where(confidence >= MIN_CONFIDENCE, predicted, int(View.UNKNOWN))
        return seen


def _onnx_network(path: str | PathLike[str], device: Any, precision: str, fusion: bool) -> OnnxNetwork:
    """The network of an ONNX file; a ValueError where something is asked that was settled when it was exported."""
    network = OnnxNetwork(path, device)
    if precision != "fp32":
        raise ValueError(f"precision is {precision!r}, but an ONNX file has its own; leave it out")
    if not fusion and "fusion" in network.description:
        raise ValueError(
            f"{network.path!r} gives the fused feature; for the network's own take embedding.onnx beside it"
        )
    return network


def _known_views(images: Any, views: Mapping[str, int]):
    """int64 [images] of views as they were given, of None what the datasets know of the paths; -1 where unknown."""
    if views is None:
        return torch.tensor(
            [VIEWPOINTS.get(image) if name_of(image) else View.UNKNOWN for image in images], dtype=torch.long
        )
    views = [views] if isinstance(views, (str, int)) else list(views)
    if len(views) != len(images):
        raise ValueError(f"views has {len(views)} entries, expected {len(images)}, one for each image")
    return torch.tensor([as_view(view) for view in views], dtype=torch.long)


def as_view(view: Any) -> View:
    """The ``View`` of a View, its number or its name.

    Raises:
        ValueError: something else.
    """
    if isinstance(view, str):
        return view_from_name(view)
    try:
        return View(int(view))
    except (TypeError, ValueError):
        raise ValueError(
            f"view {view!r} is not one of {', '.join(f'{int(v)} ({v.name.lower()})' for v in View)}; "
            "give one of them, or its name"
        ) from None


def checked_device(device: str | torch.device | None) -> torch.device:
    """torch.device of a name, None being CUDA where there is one.

    Raises:
        ValueError: no such device here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}, expected 'cpu' or 'cuda' ({str(error).splitlines()[0]})") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {str(device)!r}, but torch sees no GPU here; use 'cpu'")
    return device
