"""The files of an index: written once under names of their own, and one manifest that says which of them count.

    manifest.json            what the index is made of, with the size and SHA-256 of every file; replaced last
    vectors-*.npy            float32 [n, dim], the features of one segment
    images-*.json            the Records of one segment
    lists-*.npy              int32 [n], the inverted list of each image of one segment (IVF only)
    centroids-*.npy          float32 [nlist, dim], the centres of the inverted lists (IVF only)
    lock                     held by whoever changes the index

A change writes new files first, then replaces the manifest in one go, then removes what no longer counts. So whoever
is killed, or runs out of disk, at any moment leaves the index as it was or as it was to be, and files that nobody reads
are removed by the next change. All files are plain arrays and JSON: opening an index runs no code of who made it.
"""

import contextlib
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from ealn_plugin.search.records import Records
from ealn_plugin.system.files import UNFINISHED, replacing, write_atomically
from ealn_plugin.system.locks import HeldElsewhere, try_lock

MANIFEST, LOCK, FORMAT = "manifest.json", "lock", 1
_OURS = re.compile(r"(vectors|images|lists|centroids)-\d+-\d+\.(npy|json)")
_CHUNK = 2**20


class SearchIndexError(RuntimeError):
    """An index that cannot be opened or changed; the message is one sentence."""


@dataclass(frozen=True)
class Segment:
    """Names of the files of some consecutive images, and how many they are; ``lists`` is '' where there are none."""

    images: int
    vectors: str
    records: str
    lists: str = ""


@dataclass(frozen=True)
class Manifest:
    """What an index is.

    Attributes:
        dim: length of a feature.
        identity: what the features depend on, see ``FeatureExtractor.identity``.
        extractor: JSON values that tell how to make that extractor again, for the user's convenience.
        wanted: {'kind': 'auto' | 'flat' | 'ivf', 'nlist': int, 'nprobe': int}, 0 for automatic.
        complete: False while the first build is under way.
        generation: number of changes so far. next_id: the id that the next image gets.
        segments: tuple of ``Segment``.
        ivf: {} or {'centroids': file, 'nlist', 'nprobe', 'images': how many there were when it was trained, 'recall':
            at 10 with that nprobe}; until it is measured the recall is None and the nprobe 0, which is exact.
        files: {file: {'bytes': int, 'sha256': text}} of every file that counts.
    """

    dim: int
    identity: dict
    extractor: dict
    wanted: dict
    complete: bool = False
    generation: int = 0
    next_id: int = 0
    segments: tuple = ()
    ivf: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)

    @property
    def images(self):
        """How many images the index holds."""
        return sum(segment.images for segment in self.segments)

    def names(self):
        """The files that count, as a set."""
        names = {name for segment in self.segments for name in (segment.vectors, segment.records, segment.lists)}
        return (names | {self.ivf.get("centroids", "")}) - {""}


def read_manifest(folder):
    """The Manifest of an index.

    Raises:
        SearchIndexError: there is none, or it is damaged or of another format.
    """
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        if values["format"] != FORMAT:
            raise SearchIndexError(
                f"the index {folder!r} has format {values['format']!r}, expected {FORMAT}; open it "
                "with the version of the plugin that made it, or make it anew"
            )
        if values["sha256"] != _digest_of_manifest(values["index"]):
            raise ValueError("its checksum is wrong")
        values = values["index"]
        manifest = Manifest(**{**values, "segments": tuple(Segment(**segment) for segment in values["segments"])})
        if not manifest.names() <= manifest.files.keys() or not all(map(_OURS.fullmatch, manifest.names())):
            raise ValueError("it names files that are not those of an index")
        if any(type(number) is not int or number < 0 for number in (manifest.dim, manifest.images)):
            raise ValueError("its numbers are none")
        return manifest
    except FileNotFoundError:
        raise SearchIndexError(f"--index {folder!r} holds no index; make one with tools/search.py index") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SearchIndexError(
            f"{path!r} is not the manifest of an index, or damaged ({error}); make the index anew"
        ) from error


def _digest_of_manifest(values):
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class Store:
    """The folder of one index.

    Args:
        folder: str or path-like.
        manifest: ``Manifest`` of what is read; None: that on disk.
    """

    def __init__(self, folder, manifest=None):
        self.folder = os.fspath(folder)
        self.manifest = read_manifest(self.folder) if manifest is None else manifest

    def path(self, name):
        """Where a file of the index lies."""
        return os.path.join(self.folder, name)

    # ------------------------------------------------------------------------------------------ reading
    def array(self, name, kind, shape):
        """A file of numbers, mapped into memory, once its checksum was found right.

        Args:
            kind: numpy dtype. shape: expected.
        Raises:
            SearchIndexError: the file is damaged; FileNotFoundError: it is gone.
        """
        self.verify(name)
        try:
            array = np.load(self.path(name), mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise self._damaged(name, error) from error
        if array.dtype != kind or array.shape != shape:
            raise self._damaged(name, f"it holds {array.dtype} {array.shape}, expected {np.dtype(kind)} {shape}")
        return array

    def vectors(self, segment):
        """float32 [n, dim], mapped into memory."""
        return self.array(segment.vectors, np.float32, (segment.images, self.manifest.dim))

    def lists(self, segment):
        """int32 [n], mapped into memory: the inverted list of each image; None where a segment has none yet."""
        lists = self.array(segment.lists, np.int32, (segment.images,)) if segment.lists else None
        if lists is not None and len(lists) and not 0 <= lists.min() <= lists.max() < self.manifest.ivf["nlist"]:
            raise self._damaged(segment.lists, f"it names lists that are not among {self.manifest.ivf['nlist']}")
        return lists

    def centroids(self):
        """float32 [nlist, dim], mapped into memory: the centres of the inverted lists."""
        ivf = self.manifest.ivf
        return self.array(ivf["centroids"], np.float32, (ivf["nlist"], self.manifest.dim))

    def records(self, segment):
        """The Records of a segment.

        Raises:
            SearchIndexError: the file is damaged; FileNotFoundError: it is gone.
        """
        self.verify(segment.records)
        try:
            with open(self.path(segment.records), encoding="utf-8") as file:
                records = Records.from_json(json.load(file))
            if len(records) != segment.images:
                raise ValueError(f"it names {len(records)} images, expected {segment.images}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(segment.records, error) from error
        return records

    def all_records(self):
        """The Records of the whole index."""
        return Records.joined(self.records(segment) for segment in self.manifest.segments)

    def verify(self, name):
        """Raise a SearchIndexError unless a file has the size and checksum that the manifest says."""
        if _state(self.path(name)) != self.manifest.files[name]:
            raise self._damaged(name, "its checksum is wrong")

    def _damaged(self, name, why):
        return SearchIndexError(f"{self.path(name)!r} is damaged ({why}); take the index from a backup or make it anew")

    # ------------------------------------------------------------------------------------------ writing
    def write(self, kind, values):
        """Write one new file that does not count before ``commit``.

        Args:
            kind: 'vectors', 'images', 'lists' or 'centroids'; values: an array, or the Records for 'images'.
        Returns:
            (name, {name: {'bytes', 'sha256'}})
        Raises:
            OSError: it cannot be written.
        """
        number = 0
        ending = "json" if kind == "images" else "npy"
        while os.path.exists(path := self.path(name := f"{kind}-{self.manifest.generation + 1}-{number}.{ending}")):
            number += 1
        try:
            with replacing(path) as temporary:
                if kind == "images":
                    with open(temporary, "w", encoding="utf-8") as file:
                        json.dump(values.to_json(), file)  # escapes all but ASCII, so any file name goes
                else:
                    with open(temporary, "wb") as file:
                        np.save(file, np.ascontiguousarray(values), allow_pickle=False)
                state = _state(temporary)
        except OSError as error:
            raise OSError(
                f"the index {self.folder!r} could not be written ({error}); it is as it was before: free "
                "some space and run the same command again"
            ) from error
        return name, {name: state}

    def commit(self, files, **changes):
        """Make the next generation count: replace the manifest, then remove the files that count no more.

        Args:
            files: what ``write`` returned for new files, {name: state}; changes: of the manifest's other attributes.
        """
        manifest = replace(self.manifest, generation=self.manifest.generation + 1, **changes)
        known = {**self.manifest.files, **files}
        manifest = replace(manifest, files={name: known[name] for name in sorted(manifest.names())})
        values = json.loads(json.dumps(asdict(manifest)))
        text = json.dumps({"format": FORMAT, "index": values, "sha256": _digest_of_manifest(values)})
        try:
            write_atomically(self.path(MANIFEST), text + "\n")
        except OSError as error:
            raise OSError(
                f"the index {self.folder!r} could not be written ({error}); it is as it was before: free "
                "some space and run the same command again"
            ) from error
        self.manifest = manifest
        self.remove_leftovers()

    def remove_leftovers(self):
        """Remove files of ours that do not count: of older generations, and of changes that were never finished."""
        keep = self.manifest.names()
        for name in os.listdir(self.folder):
            if (_OURS.fullmatch(name) and name not in keep) or name.startswith(UNFINISHED):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path(name))


@contextlib.contextmanager
def locked(folder):
    """Within it nobody else changes the index; the lock of a killed process is gone with it.

    Raises:
        SearchIndexError: somebody else is changing it. OSError: the folder cannot be written.
    """
    with open(os.path.join(folder, LOCK), "ab") as file:
        try:
            try_lock(file)
        except HeldElsewhere:
            raise SearchIndexError(
                f"the index {os.fspath(folder)!r} is being changed by another process; wait for it to end"
            ) from None
        yield


def _state(path):
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}
