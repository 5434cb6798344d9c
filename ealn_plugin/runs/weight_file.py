"""What is in a file of ``torch.save`` or of safetensors, whoever made it: tensors and plain values. No code is run.

Where torch's own safe reader refuses a file, because it holds settings beside its weights (an argparse.Namespace, a
path, a whole pickled network), it is read here: tensors are put together from their numbers, and whatever else the
file names becomes ``Inert``, a stand-in that can do nothing. A file that asks for a function of the operating system
or of Python itself is refused all the same: nobody needs one to store weights.
"""

import contextlib
import pickle
import warnings
import zipfile
from typing import Any

import torch

from ealn_plugin.runs.described_file import is_safetensors, read_tensors

_REFUSED = frozenset(
    "os posix nt sys subprocess builtins __builtin__ importlib runpy ctypes shutil socket pty code webbrowser".split()
)
_HARMLESS = frozenset(  # what Python's own values name; they are stood in for like all others
    "set frozenset dict list tuple int float complex bool str bytes bytearray slice range object getattr".split()
)
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Inert(dict):
    """Stands for any object of a file; what the file sets on it, it holds as a dict."""

    def __init__(self, *args: Any, **_: Any) -> None:
        super().__init__()
        for part in args:
            self._take(part)

    def __setstate__(self, state):
        for part in state if isinstance(state, tuple) else (state,):
            self._take(part)

    def _take(self, part):
        with contextlib.suppress(TypeError, ValueError):
            if isinstance(part, (dict, list)):
                self.update(part)

    def __call__(self, *_: Any, **__: Any) -> "Inert":
        return Inert()

    def append(self, _: Any) -> None:
        """Items of what was a list are not kept."""

    extend = add = append

    __hash__ = object.__hash__
    __eq__ = object.__eq__


class _Call:
    """A function that a file may call; it cannot be given a state."""

    __slots__ = ("_function",)

    def __init__(self, function):
        self._function = function

    def __call__(self, *args):
        return self._function(*args)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("it changes a function")


def read_file(path: str) -> Any:
    """The content of a file of ``torch.save`` or of safetensors, on the CPU.

    Returns:
        plain values, tensors and ``Inert``.
    Raises:
        Exception: of many kinds, where it is no such file, is damaged, or asks for a call that is refused.
    """
    if is_safetensors(path):
        return read_tensors(path)
    try:
        with warnings.catch_warnings():  # of pickle protocols that it may not know
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds, for files that can be read here among others
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        return _read_legacy(path)


# ---------------------------------------------------------------------------------------------- the reader
class _Reader(pickle.Unpickler):
    """An unpickler that makes plain values, tensors and ``Inert``.

    Args:
        file: binary. storage: function of (key, dtype, count) to a tensor of so many numbers.
    """

    def __init__(self, file, storage):
        super().__init__(file)
        self._storage = storage

    def find_class(self, module, name):
        """A dtype, a way to make a tensor, or ``Inert``."""
        if module.partition(".")[0] in _REFUSED and name not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no weights need")
        if module.partition(".")[0] == "torch":
            if name in _DTYPES:
                return _DTYPES[name]
            if isinstance(getattr(torch, name, None), torch.dtype):
                return getattr(torch, name)
            if name in _REBUILDS:
                return _Call(_REBUILDS[name])
        return Inert

    def persistent_load(self, saved):
        """The numbers of a tensor; the class of a pickled network is ``Inert``."""
        if saved[0] in ("module", b"module"):
            return Inert
        kind, dtype, key, _, count, *view = saved
        if kind not in ("storage", b"storage") or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"it holds a {kind!r} where numbers are expected")
        numbers = self._storage(key, dtype, count)
        if view and view[0] is not None:
            _, start, length = view[0]
            numbers = numbers[start : start + length]
        return numbers


def _tensor(numbers, start, size, stride, *_):
    if not torch.is_tensor(numbers):
        return Inert()
    return numbers.as_strided(tuple(size), tuple(stride), start)


def _tensor_of_bytes(numbers, start, size, stride, _, __, dtype, *___):
    if not (torch.is_tensor(numbers) and isinstance(dtype, torch.dtype)):
        return Inert()
    return _tensor(numbers.view(dtype), start, size, stride)


def _of_a_subclass(function, _, args, *__):
    return function(*args) if isinstance(function, _Call) else Inert()


_REBUILDS = {
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _tensor_of_bytes,
    "_rebuild_parameter": lambda tensor, *_: tensor,
    "_rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "_rebuild_from_type_v2": _of_a_subclass,
}


def _read_zip(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        folder = next(name for name in names if name.endswith("data.pkl")).removesuffix("data.pkl")
        if f"{folder}constants.pkl" in names:
            raise pickle.UnpicklingError("it is a TorchScript program")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise pickle.UnpicklingError("it was written by a big-endian machine")
        read = {}

        def storage(key: Any, dtype: Any, count: int) -> Any:
            if key not in read:
                if archive.getinfo(f"{folder}data/{key}").compress_type != zipfile.ZIP_STORED:
                    raise pickle.UnpicklingError("its numbers are compressed, which torch never does")
                data = bytearray(archive.read(f"{folder}data/{key}"))
                read[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            return read[key].view(dtype)

        with archive.open(f"{folder}data.pkl") as file:
            return _Reader(file, storage).load()


def _read_legacy(path):
    """The format of torch before 1.6: pickles, and behind them the numbers."""
    with open(path, "rb") as file:
        room = file.seek(0, 2)
        file.seek(0)
        made = {}

        def storage(key: Any, dtype: Any, count: int) -> Any:
            if not 0 <= count * dtype.itemsize <= room:
                raise pickle.UnpicklingError(f"it claims {count} numbers in {room} bytes")
            return made.setdefault(key, torch.zeros(count, dtype=dtype))

        if _Reader(file, storage).load() != _LEGACY_MAGIC:
            raise pickle.UnpicklingError("it is no file of torch.save")
        _, _, content, keys = (_Reader(file, storage).load() for _ in range(4))
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            data = bytearray(file.read(count * made[key].dtype.itemsize))
            if count != made[key].numel() or len(data) != count * made[key].dtype.itemsize:
                raise pickle.UnpicklingError("its numbers are cut off")
            if count:
                made[key].copy_(torch.frombuffer(data, dtype=made[key].dtype))
        return content


# ---------------------------------------------------------------------------------------------- what it holds
def state_dicts(content: Any, place: str = "") -> Any:
    """Yield (place, {name: tensor}) of everything in a file that may be the weights of a network.

    A place is how the file calls it, such as 'model_state_dict' or 'ema/module'; '' is the file itself. A pickled
    network gives its parameters and buffers.
    """
    stack, seen = [(place, content, 0)], set()
    while stack:
        place, value, depth = stack.pop()
        if id(value) in seen or depth > _DEEPEST:
            continue
        seen.add(id(value))
        if isinstance(value, dict) and isinstance(value.get("_modules"), dict):
            yield place, dict(_of_module(value))
            continue
        if isinstance(value, dict):
            tensors = {str(key): item for key, item in value.items() if torch.is_tensor(item)}
            if tensors:
                yield place, tensors
            inner = value.items()
        elif isinstance(value, (list, tuple)) and len(value) <= _MOST_ITEMS:
            inner = enumerate(value)
        else:
            continue
        parts = [(f"{place}/{key}".lstrip("/"), item, depth + 1) for key, item in inner]
        stack += [part for part in reversed(parts) if isinstance(part[1], (dict, list, tuple))]


_DEEPEST, _MOST_ITEMS = 8, 100


def _of_module(module, prefix="", depth=0):
    if depth > _DEEPEST * 4:
        return
    for part in ("_parameters", "_buffers"):
        for name, value in (module.get(part) or {}).items():
            if torch.is_tensor(value):
                yield f"{prefix}{name}", value
    for name, inner in module["_modules"].items():
        if isinstance(inner, dict) and isinstance(inner.get("_modules"), dict):
            yield from _of_module(inner, f"{prefix}{name}.", depth + 1)
