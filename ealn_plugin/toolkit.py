"""The one doorway to torchreid.

Everything that imports torchreid, or touches a part of it that is not public, lives here, so that a change in
torchreid is answered in one file. Two module layouts exist: the original repository keeps its packages directly
under ``torchreid``, the PyPI package under ``torchreid.reid``. Both expose them as attributes of ``torchreid``, so
only attribute access is used. This module imports nothing else of ealn_plugin.
"""

import contextlib
import io
import logging
import os
import sys
import warnings

import numpy as np
import torch
from PIL import Image, ImageOps

log = logging.getLogger(__name__)

_kept_alive = []  # torch.library objects: their operator schemas vanish with them


def _import_torchvision():
    """Import torchvision, also where its compiled operators do not fit the installed torch.

    PyPI's torchvision is built against CUDA builds of torch. Beside a CPU-only torch its import dies because
    ``torchvision::nms`` was never declared. Declaring the missing schemas is enough for everything torchreid uses.
    """
    try:
        import torchvision  # noqa: F401

        return
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept_alive.append(library)
    import torchvision  # noqa: F401


def _import_torchreid():
    with warnings.catch_warnings():
        # "Cython evaluation is unavailable": the plugin fills that very slot.
        warnings.filterwarnings("ignore", message="Cython evaluation")
        try:
            import torchreid
        except ImportError as error:
            raise ImportError(
                f"torchreid could not be imported ({error}); install it with the packages that it needs but does not "
                "declare: pip install -c constraints.txt -e ."
            ) from error
    return torchreid


_import_torchvision()
torchreid = _import_torchreid()

Engine = torchreid.engine.Engine
ImageDataset = torchreid.data.ImageDataset


# ---------------------------------------------------------------------------------------------- registrations
def register_dataset(name, dataset):
    """Make ``dataset`` known to torchreid's data managers as ``name``; a second call with the same class does nothing.

    Raises:
        ValueError: ``name`` already belongs to another class.
    """
    known = _private_dict(torchreid.data.register_image_dataset, "__image_datasets")
    if known.get(name) is dataset:
        return
    if name in known:
        raise ValueError(f"the dataset name {name!r} already belongs to {known[name].__name__}; choose another name")
    torchreid.data.register_image_dataset(name, dataset)


def register_model(name, factory):
    """Make ``torchreid.models.build_model(name, ...)`` call ``factory(num_classes, loss, pretrained, use_gpu)``.

    Raises:
        ValueError: ``name`` already belongs to another factory.
    """
    known = _model_factory()
    if known.setdefault(name, factory) is not factory:
        raise ValueError(f"the model name {name!r} already belongs to {known[name]}; choose another name")


def register_engine(engine):
    """Make the engine class reachable as ``torchreid.engine.<its name>``."""
    setattr(torchreid.engine, engine.__name__, engine)


def _private_dict(function, name):
    return function.__globals__[name]


def _model_factory():
    return _private_dict(torchreid.models.build_model, "__model_factory")


# ---------------------------------------------------------------------------------------------- building blocks
def build_model(name, num_classes, loss="triplet", pretrained=False, use_gpu=True, **extra):
    """``torchreid.models.build_model`` with extra keyword arguments for factories that take them.

    Returns:
        torch.nn.Module
    Raises:
        ValueError: no model of that name, or one that cannot be built with these arguments.
    """
    factory = _model_factory().get(name)
    if factory is None:
        raise ValueError(f"model.name is {name!r}, expected one of {', '.join(sorted(_model_factory()))}")
    try:
        return factory(num_classes=num_classes, loss=loss, pretrained=pretrained, use_gpu=use_gpu, **extra)
    except OSError as error:
        raise ValueError(
            f"model.pretrained is True, but the ImageNet weights of {name} could not be downloaded "
            f"({error}); set model.pretrained False, or give a file with model.load_weights"
        ) from error
    except KeyError as error:  # several torchreid backbones raise a bare KeyError for an unknown loss
        raise ValueError(
            f"model {name!r} cannot be built with loss={loss!r} ({error}); choose a single-branch "
            "backbone such as resnet50 or osnet_x1_0"
        ) from error


def build_datamanager(**options):
    """``torchreid.data.ImageDataManager(**options)``, its prints sent to the log.

    Raises:
        ValueError: the sampler cannot fill a batch (torchreid raises a bare AssertionError).
    """
    try:
        with prints_to_log():
            return torchreid.data.ImageDataManager(**options)
    except AssertionError as error:
        raise ValueError(
            f"torchreid's data manager refused batch_size_train={options.get('batch_size_train')}, "
            f"num_instances={options.get('num_instances')}, train_sampler={options.get('train_sampler')!r} "
            f"({error or 'there are fewer identities than one batch needs'}); lower train.batch_size"
        ) from error


def build_dataset(name, root):
    """One dataset by the name it is registered under, what it prints sent to the log.

    Returns:
        ImageDataset with the lists train, query and gallery.
    Raises:
        ValueError: no dataset has that name.
    """
    known = _private_dict(torchreid.data.register_image_dataset, "__image_datasets")
    if name not in known:
        raise ValueError(f"dataset {name!r} is unknown, expected one of {', '.join(sorted(known))}")
    with prints_to_log():
        return known[name](root=root)


def build_optimizer(model, **options):
    """``torchreid.optim.build_optimizer``."""
    return torchreid.optim.build_optimizer(model, **options)


def build_lr_scheduler(optimizer, **options):
    """``torchreid.optim.build_lr_scheduler``: single_step, multi_step or cosine."""
    return torchreid.optim.build_lr_scheduler(optimizer, **options)


def normalization_of(datamanager):
    """Mean and standard deviation that a data manager normalizes its images with.

    torchreid's managers do not keep them; they are read from the last transform of ``transform_te``.

    Returns:
        (list, list): three means and three standard deviations, for pixels in [0, 1].
    Raises:
        ValueError: the test transform does not end with a Normalize.
    """
    steps = getattr(getattr(datamanager, "transform_te", None), "transforms", [])
    for step in reversed(steps):
        if hasattr(step, "mean") and hasattr(step, "std"):
            return [float(m) for m in step.mean], [float(s) for s in step.std]
    raise ValueError(
        f"the data manager's test transform {steps or None} has no Normalize to read mean and std from; "
        "pass norm_mean and norm_std to the engine"
    )


def test_transform(height, width, norm_mean, norm_std):
    """torchreid's transform of test images: resize, scale to [0, 1], normalize.

    Returns:
        function of a ``PIL.Image`` in mode RGB to a tensor [3, height, width]
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of training transforms, which nobody asked for
        return torchreid.data.transforms.build_transforms(
            height, width, transforms=[], norm_mean=list(norm_mean), norm_std=list(norm_std)
        )[1]


def keeps_past_images(dataset):
    """Whether a dataset's transform remembers earlier images, as torchreid's RandomPatch does."""
    return any(hasattr(step, "patchpool") for step in getattr(getattr(dataset, "transform", None), "transforms", []))


# ---------------------------------------------------------------------------------------------- reading images
class UnreadableImageError(RuntimeError):
    """An image file that exists but cannot be decoded; the message names it."""


MAX_PIXELS = 2**26
"""Images with more pixels are refused, 8,192 x 8,192: a few bytes of a file may claim to hold gigabytes."""


def read_image(path):
    """Read an image file as RGB, in one attempt, the right way up.

    torchreid's own function tries again for ever when a file is corrupt; this one replaces it. Grey images of more
    than 8 bits are scaled, which Pillow would clip to white, and an orientation noted in the file (EXIF) is followed.
    Of an animation the first picture is read.

    Returns:
        PIL.Image.Image in mode RGB.
    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImageError: the file cannot be decoded, or has more than ``MAX_PIXELS``.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"image {path!r} does not exist; check data.root and the dataset's lists")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels, more than the {MAX_PIXELS:,} allowed")
            return _eight_bits(ImageOps.exif_transpose(image)).convert("RGB")
    except Exception as error:  # decoders raise many kinds for a broken file, MemoryError among them
        raise UnreadableImageError(
            f"image {path!r} cannot be decoded ({error or type(error).__name__}); replace the file or take it out of "
            "the dataset"
        ) from error


def _eight_bits(image):
    """Grey images of 16 bits scaled to 8; others as they are."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))


def _cure_read_image():
    vars(sys.modules[ImageDataset.__module__])["read_image"] = read_image


def set_image_reader(dataset, reader):
    """Have a torchreid image dataset take the finished images from ``reader``, not from its transform.

    Args:
        dataset: instance of ImageDataset that does not make its items itself.
        reader: function of an image's path that returns the tensor [3, height, width] for the loader; None: its own
            transform again.
    """
    dataset.image_reader = reader


def image_of(dataset, path):
    """The tensor [3, height, width] that a torchreid image dataset would make of an image file if it were its own.

    Raises:
        FileNotFoundError, UnreadableImageError: as ``read_image``.
    """
    reader = getattr(dataset, "image_reader", None)
    return dataset.transform(read_image(path)) if reader is None else reader(path)


def _ask_image_readers():
    """Give torchreid's image datasets the question whether they have an image reader."""
    own = ImageDataset.__getitem__

    def item(self, index):
        reader = getattr(self, "image_reader", None)
        if reader is None:
            return own(self, index)
        path, pid, camid, dsetid = self.data[index]
        return {"img": reader(path), "pid": pid, "camid": camid, "impath": path, "dsetid": dsetid}

    ImageDataset.__getitem__ = item


# ---------------------------------------------------------------------------------------------- evaluation
def evaluate_rank(distmat, q_pids, g_pids, q_camids, g_camids, max_rank=50, use_metric_cuhk03=False):
    """``torchreid.metrics.evaluate_rank``: (cmc [max_rank], mAP), through the fast slot when that is filled."""
    return torchreid.metrics.evaluate_rank(
        distmat, q_pids, g_pids, q_camids, g_camids, max_rank=max_rank, use_metric_cuhk03=use_metric_cuhk03
    )


def distance_matrix(a, b, metric="euclidean"):
    """``torchreid.metrics.compute_distance_matrix`` of features [n, dim] and [m, dim]; 'euclidean' is squared."""
    return torchreid.metrics.compute_distance_matrix(a, b, metric)


def re_ranking(q_g_dist, q_q_dist, g_g_dist):
    """torchreid's k-reciprocal re-ranking of three numpy distance matrices (Zhong et al., CVPR 2017)."""
    return torchreid.utils.re_ranking(q_g_dist, q_q_dist, g_g_dist)


def show_ranked_lists(distances, datamanager, name, folder, topk):
    """torchreid's pictures of the ``topk`` nearest gallery images of each query, correct and wrong ones marked."""
    with prints_to_log():
        torchreid.utils.visualize_ranked_results(
            distances,
            datamanager.fetch_test_loaders(name),
            datamanager.data_type,
            width=datamanager.width,
            height=datamanager.height,
            save_dir=folder,
            topk=topk,
        )


_ABSENT = object()
_slot_before = {}


def set_fast_ranking(function):
    """Put ``function`` into the slot that torchreid keeps for its compiled ranking; ``None`` restores what was there.

    Args:
        function: takes (distmat, q_pids, g_pids, q_camids, g_camids, max_rank, use_metric_cuhk03), or None.
    """
    rank = sys.modules[torchreid.metrics.evaluate_rank.__module__]
    if not _slot_before:
        _slot_before.update(evaluate_cy=getattr(rank, "evaluate_cy", _ABSENT), IS_CYTHON_AVAI=rank.IS_CYTHON_AVAI)
    if function is not None:
        rank.evaluate_cy, rank.IS_CYTHON_AVAI = function, True
        return
    for name, value in _slot_before.items():
        if value is _ABSENT:
            vars(rank).pop(name, None)
        else:
            setattr(rank, name, value)


# ---------------------------------------------------------------------------------------------- torchreid's prints
class _LogWriter(io.TextIOBase):
    """A text stream that sends each finished line to the log."""

    def __init__(self, logger):
        self._logger, self._rest = logger, ""

    def write(self, text):
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._logger.info("%s", line.rstrip())
        return len(text)

    def finish(self):
        """Log a last line that has no line end."""
        self.write("\n")


@contextlib.contextmanager
def prints_to_log(logger=log):
    """Within it, what torchreid prints goes to ``logger`` at level INFO."""
    writer = _LogWriter(logger)
    with contextlib.redirect_stdout(writer):
        yield
    writer.finish()


_cure_read_image()
_ask_image_readers()
