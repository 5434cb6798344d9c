"""The one doorway to torchreid.

Everything that imports torchreid, or touches a part of it that is not public, lives here, so that a change in
torchreid is answered in one file. Two module layouts exist: the original repository keeps its packages directly
under ``torchreid``, the PyPI package under ``torchreid.reid``. Both expose them as attributes of ``torchreid``, so
only attribute access is used. Of ealn_plugin this module imports what knows no torchreid, from ``system``.
"""

import builtins
import contextlib
import contextvars
import difflib
import functools
import inspect
import logging
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ealn_plugin.system.pictures import UnreadableImageError as UnreadableImageError
from ealn_plugin.system.pictures import read_picture

log = logging.getLogger(__name__)

_kept_alive: list[Any] = []  # torch.library objects: their operator schemas vanish with them


def _import_torchvision() -> None:
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


def _import_torchreid() -> ModuleType:
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
def register_dataset(name: str, dataset: Callable[..., Any], replace: bool = False) -> None:
    """Make ``dataset`` known to torchreid's data managers as ``name``; a second call with the same class does nothing.

    Args:
        dataset: class of datasets, or another function that makes one of the same keyword arguments.
        replace: take the place of what has the name already.
    Raises:
        ValueError: ``name`` already belongs to another class.
    """
    known = _datasets()
    if known.get(name) is dataset:
        return
    if name in known and not replace:
        owner = getattr(known[name], "__name__", known[name])
        raise ValueError(f"the dataset name {name!r} already belongs to {owner}; choose another name")
    known.pop(name, None)
    torchreid.data.register_image_dataset(name, dataset)


def dataset_names() -> list[str]:
    """The names of all datasets that torchreid's data managers know."""
    return list(_datasets())


def registered_dataset(name: str) -> Any:
    """What makes the dataset ``name``, None where nobody has registered it."""
    return _datasets().get(name)


def _datasets() -> dict[str, Any]:
    return _private_dict(torchreid.data.register_image_dataset, "__image_datasets")


def register_model(name: str, factory: Callable[..., nn.Module]) -> None:
    """Make ``torchreid.models.build_model(name, ...)`` call ``factory(num_classes, loss, pretrained, use_gpu)``.

    Raises:
        ValueError: ``name`` already belongs to another factory.
    """
    known = _model_factory()
    if known.setdefault(name, factory) is not factory:
        raise ValueError(f"the model name {name!r} already belongs to {known[name]}; choose another name")


def register_model_family(prefix: str, factory: Callable[..., nn.Module], check: Callable[[str], Any]) -> None:
    """Make ``torchreid.models.build_model`` take every name that begins with ``prefix``.

    Args:
        factory: called as factory(name, num_classes=, loss=, pretrained=, use_gpu=).
        check: called with a name; raises ValueError or RuntimeError, one sentence, where there is no such model.
    Raises:
        ValueError: the prefix already belongs to another factory.
    """
    if _families.setdefault(prefix, (factory, check))[0] is not factory:
        raise ValueError(f"names of models with {prefix!r} belong to {_families[prefix][0]}; choose another prefix")


_families: dict[str, tuple[Callable[..., nn.Module], Callable[[str], Any]]] = {}


def _family_of(name: str) -> tuple[Callable[..., nn.Module], Callable[[str], Any]] | None:
    return next((family for prefix, family in _families.items() if str(name).startswith(prefix)), None)


def _factory_of(name: str) -> Callable[..., nn.Module]:
    """What builds the model of a name, which ``check_model_name`` has found good."""
    family = None if name in _model_factory() else _family_of(name)
    return _model_factory()[name] if family is None else functools.partial(family[0], name)


def register_engine(engine: type) -> None:
    """Make the engine class reachable as ``torchreid.engine.<its name>``."""
    setattr(torchreid.engine, engine.__name__, engine)


def _private_dict(function: Any, name: str) -> Any:
    return function.__globals__[name]


def _model_factory() -> dict[str, Any]:
    return _private_dict(inspect.unwrap(torchreid.models.build_model), "__model_factory")


def _teach_build_model() -> None:
    """Have ``torchreid.models.build_model`` know the families of names; its own names are built as before."""
    own = inspect.unwrap(torchreid.models.build_model)

    @functools.wraps(own)
    def build_model(name: str, *arguments: Any, **options: Any) -> nn.Module:
        if _family_of(name) is None:
            return own(name, *arguments, **options)
        check_model_name(name)
        given = inspect.signature(own).bind(name, *arguments, **options)
        given.apply_defaults()
        return _factory_of(name)(**{key: value for key, value in given.arguments.items() if key != "name"})

    vars(torchreid.models)["build_model"] = build_model


# ---------------------------------------------------------------------------------------------- building blocks
def check_model_name(name: str, flag: str = "model.name") -> None:
    """Refuse the name of a model that torchreid does not know, before anything is read or built.

    Args:
        flag: what the user calls it in messages.
    Raises:
        ValueError: with the nearest name. RuntimeError: the package that the model comes from is not installed.
    """
    known, family = _model_factory(), _family_of(name)
    if name in known:
        return
    if family is not None:
        family[1](name)
    else:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "torchreid.models.show_avai_models() lists them"
        raise ValueError(
            f"{flag} is {name!r}, expected one of torchreid's {len(known)} models, such as resnet50 or osnet_x1_0; "
            f"{hint}"
        )


def check_dataset_names(names: str | Iterable[str] | None) -> None:
    """Refuse names of datasets that nobody has registered.

    Raises:
        ValueError: with the nearest name.
    """
    known = _datasets()
    for name in [names] if isinstance(names, str) else names or ():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "torchreid.data.register_image_dataset adds one"
            raise ValueError(f"dataset {name!r} is unknown, expected one of {', '.join(sorted(known))}; {hint}")


def build_model(
    name: str, num_classes: int, loss: str = "triplet", pretrained: bool = False, use_gpu: bool = True, **extra: Any
) -> nn.Module:
    """``torchreid.models.build_model`` with extra keyword arguments for factories that take them.

    Returns:
        torch.nn.Module
    Raises:
        ValueError: no model of that name, or one that cannot be built with these arguments.
    """
    check_model_name(name)
    try:
        return _factory_of(name)(num_classes=num_classes, loss=loss, pretrained=pretrained, use_gpu=use_gpu, **extra)
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


def build_datamanager(dataset_options: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """``torchreid.data.ImageDataManager(**options)``, its prints sent to the log.

    Args:
        dataset_options: keyword arguments that every dataset receives beside those of torchreid, such as VehicleID's
            view_order. Datasets that do not know one ignore it, as torchreid's datasets ignore those of each other.
    Raises:
        ValueError: an unknown dataset, or a sampler that cannot fill a batch (torchreid raises a bare AssertionError).
    """
    check_dataset_names(options.get("sources"))
    check_dataset_names(options.get("targets"))
    try:
        with prints_to_log():
            return _data_manager_class(dataset_options or {})(**options)
    except AssertionError as error:
        raise ValueError(
            f"torchreid's data manager refused batch_size_train={options.get('batch_size_train')}, "
            f"num_instances={options.get('num_instances')}, train_sampler={options.get('train_sampler')!r} "
            f"({error or 'there are fewer identities than one batch needs'}); lower train.batch_size"
        ) from error


def _data_manager_class(dataset_options):
    """``torchreid.data.ImageDataManager``, its datasets built with further keyword arguments.

    torchreid's manager hands a fixed list of arguments to the function ``init_image_dataset`` of its module. The
    subclass runs the same constructor with a version of that function that knows the further ones. torchreid itself
    is not changed, so two managers with different options do not disturb each other.
    """
    base = torchreid.data.ImageDataManager
    init = base.__init__
    build = functools.partial(_private_dict(init, "init_image_dataset"), **dataset_options)
    configured = types.FunctionType(
        init.__code__,
        {**init.__globals__, "init_image_dataset": build},
        init.__name__,
        init.__defaults__,
        init.__closure__,
    )
    return type(base.__name__, (base,), {"__init__": configured, "__doc__": base.__doc__})


def build_dataset(name: str, root: str, **options: Any) -> Any:
    """One dataset by the name it is registered under, what it prints sent to the log.

    Args:
        options: further keyword arguments of its constructor, such as split_id.
    Returns:
        ImageDataset with the lists train, query and gallery.
    Raises:
        ValueError: no dataset has that name.
    """
    check_dataset_names(name)
    with prints_to_log():
        return _datasets()[name](root=root, **options)


def build_optimizer(model: nn.Module, **options: Any) -> torch.optim.Optimizer:
    """``torchreid.optim.build_optimizer``."""
    return torchreid.optim.build_optimizer(model, **options)


def build_lr_scheduler(optimizer: torch.optim.Optimizer, **options: Any) -> Any:
    """``torchreid.optim.build_lr_scheduler``: single_step, multi_step or cosine."""
    return torchreid.optim.build_lr_scheduler(optimizer, **options)


def normalization_of(datamanager: Any) -> tuple[list[float], list[float]]:
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


def test_transform(
    height: int, width: int, norm_mean: Sequence[float], norm_std: Sequence[float]
) -> Callable[[Any], Tensor]:
    """torchreid's transform of test images: resize, scale to [0, 1], normalize.

    Returns:
        function of a ``PIL.Image`` in mode RGB to a tensor [3, height, width]
    """
    with prints_to_log(None):  # it tells of training transforms, which nobody asked for
        return torchreid.data.transforms.build_transforms(
            height, width, transforms=[], norm_mean=list(norm_mean), norm_std=list(norm_std)
        )[1]


def keeps_past_images(dataset: Any) -> bool:
    """Whether a dataset's transform remembers earlier images, as torchreid's RandomPatch does."""
    return any(hasattr(step, "patchpool") for step in getattr(getattr(dataset, "transform", None), "transforms", []))


# ---------------------------------------------------------------------------------------------- reading images
def read_image(path: str | PathLike[str]) -> Image.Image:
    """Read an image of a dataset as RGB in one attempt, by the rule of ``system/pictures.py``.

    torchreid's own function tries again for ever when a file is corrupt; this one replaces it.

    Returns:
        PIL.Image.Image in mode RGB.
    Raises:
        FileNotFoundError, UnreadableImageError: see ``read_picture``.
    """
    return read_picture(
        path, "check data.root and the dataset's lists", "replace the file or take it out of the dataset"
    )


def _cure_read_image() -> None:
    vars(sys.modules[ImageDataset.__module__])["read_image"] = read_image


def set_image_reader(dataset: Any, reader: Callable[[str], Tensor] | None) -> None:
    """Have a torchreid image dataset take the finished images from ``reader``, not from its transform.

    Args:
        dataset: instance of ImageDataset that does not make its items itself.
        reader: function of an image's path that returns the tensor [3, height, width] for the loader; None: its own
            transform again.
    """
    dataset.image_reader = reader


def image_of(dataset: Any, path: str) -> Tensor:
    """The tensor [3, height, width] that a torchreid image dataset would make of an image file if it were its own.

    Raises:
        FileNotFoundError, UnreadableImageError: as ``read_image``.
    """
    reader = getattr(dataset, "image_reader", None)
    return dataset.transform(read_image(path)) if reader is None else reader(path)


def pixel_reader(dataset: Any) -> Callable[[str], Any]:
    """A function of a path to the pixels, uint8 [height, width, 3], that an image dataset reads, not augmented."""
    reader = getattr(dataset, "image_reader", None)
    return (lambda path: np.asarray(read_image(path))) if reader is None else reader.pixels


def _ask_image_readers() -> None:
    """Give torchreid's image datasets the question whether they have an image reader."""
    own = ImageDataset.__getitem__

    def item(self: Any, index: int) -> Any:
        reader = getattr(self, "image_reader", None)
        if reader is None:
            return own(self, index)
        path, pid, camid, dsetid = self.data[index]
        return {"img": reader(path), "pid": pid, "camid": camid, "impath": path, "dsetid": dsetid}

    ImageDataset.__getitem__ = item


def _import_this_with_datasets():
    """Have a process that is handed a dataset of torchreid import this module before torchreid.

    Started anew (spawn, forkserver), a data worker would otherwise import torchvision without its missing operators.
    """

    def reduced(self):
        state = self.__getstate__() if hasattr(self, "__getstate__") else vars(self)
        return _dataset_of, (type(self),), state

    for kind in reversed(ImageDataset.__mro__[:-1]):
        if kind.__module__.partition(".")[0] == torchreid.__name__:
            kind.__reduce__ = reduced
            return


def _dataset_of(kind):
    """An instance of a class of datasets whose attributes follow, as unpickling makes it."""
    return kind.__new__(kind)


# ---------------------------------------------------------------------------------------------- evaluation
def evaluate_rank(
    distmat: NDArray[Any],
    q_pids: NDArray[Any],
    g_pids: NDArray[Any],
    q_camids: NDArray[Any],
    g_camids: NDArray[Any],
    max_rank: int = 50,
    use_metric_cuhk03: bool = False,
) -> tuple[NDArray[np.float32], float]:
    """``torchreid.metrics.evaluate_rank``: (cmc [max_rank], mAP), through the fast slot when that is filled."""
    return torchreid.metrics.evaluate_rank(
        distmat, q_pids, g_pids, q_camids, g_camids, max_rank=max_rank, use_metric_cuhk03=use_metric_cuhk03
    )


def distance_matrix(a: Tensor, b: Tensor, metric: str = "euclidean") -> Tensor:
    """``torchreid.metrics.compute_distance_matrix`` of features [n, dim] and [m, dim]; 'euclidean' is squared."""
    return torchreid.metrics.compute_distance_matrix(a, b, metric)


def re_ranking(q_g_dist: NDArray[Any], q_q_dist: NDArray[Any], g_g_dist: NDArray[Any]) -> NDArray[Any]:
    """torchreid's k-reciprocal re-ranking of three numpy distance matrices (Zhong et al., CVPR 2017)."""
    return torchreid.utils.re_ranking(q_g_dist, q_q_dist, g_g_dist)


def show_ranked_lists(distances: NDArray[Any], datamanager: Any, name: str, folder: str, topk: int) -> None:
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
_slot_before: dict[str, Any] = {}


def set_fast_ranking(function: Callable[..., Any] | None) -> None:
    """Put ``function`` into the slot that torchreid keeps for its compiled ranking; ``None`` restores what was there.

    Args:
        function: takes (distmat, q_pids, g_pids, q_camids, g_camids, max_rank, use_metric_cuhk03), or None.
    """
    rank = sys.modules[torchreid.metrics.evaluate_rank.__module__]
    if not _slot_before:
        _slot_before.update(evaluate_cy=getattr(rank, "evaluate_cy", _ABSENT), IS_CYTHON_AVAI=rank.IS_CYTHON_AVAI)
    if function is not None:
        rank.evaluate_cy, rank.IS_CYTHON_AVAI = function, True  # type: ignore[attr-defined]
        return
    for name, value in _slot_before.items():
        if value is _ABSENT:
            vars(rank).pop(name, None)
        else:
            setattr(rank, name, value)


# ---------------------------------------------------------------------------------------------- torchreid's prints
_AS_USUAL = object()
_printing: contextvars.ContextVar[Any] = contextvars.ContextVar("where torchreid's prints go", default=_AS_USUAL)


@contextlib.contextmanager
def prints_to_log(logger: logging.Logger | None = log) -> Iterator[None]:
    """Within it, what torchreid prints goes to ``logger`` at level INFO, a message a line; None: nowhere.

    sys.stdout stays what it is: handlers of the log may write to it.
    """
    token = _printing.set(logger)
    try:
        yield
    finally:
        _printing.reset(token)


def _print(*values, sep=" ", end="\n", file=None, flush=False):
    """What ``print`` means in torchreid's modules."""
    logger = _printing.get()
    if logger is _AS_USUAL or file is not None:
        builtins.print(*values, sep=sep, end=end, file=file, flush=flush)
    elif logger is not None:
        text = (" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end)
        for line in text.splitlines():
            if line.strip():
                logger.info("%s", line.rstrip())


def _direct_prints():
    """Have torchreid's modules print through ``_print``."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == torchreid.__name__ and module is not None:
            vars(module).setdefault("print", _print)


_cure_read_image()
_teach_build_model()
_ask_image_readers()
_import_this_with_datasets()
_direct_prints()
