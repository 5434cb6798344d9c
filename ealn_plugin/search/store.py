"""Where an index lies, what it says of itself, and what tells that its files are whole.

    images.lance/    the images, see ``Table``; with it, as its notes, what the index says of itself
    manifest.json    in a folder: which version of the images counts, with the size and SHA-256 of each of its files
    lock             in a folder: held by whoever changes the index

A change first makes a new version of the images, then replaces manifest.json in one go, then removes the version
before. So whoever is killed, or runs out of disk, at any moment leaves the index as it was or as it was to be.

In object storage there are no manifest.json and no lock, and the newest version counts. Before images are added their
ids are reserved, in the notes: of two processes that do so at once Lance refuses the second, and whoever finds other
notes than its own stops as well. So no id is given twice, and a killed process leaves no lock behind. Damage is noticed
by the checksum of each image.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

from ealn_plugin.search.errors import MissingFileError, SearchIndexError, UnwrittenError, first_line, says_missing
from ealn_plugin.search.index_files import FORMAT, MANIFEST, check_end, files_text, no_index, read_files, state_of
from ealn_plugin.search.remote import is_conflict, is_remote, meaning
from ealn_plugin.search.table import KNOWN, Table, checksums, matrix, to_records
from ealn_plugin.system.files import write_atomically

IMAGES = "images.lance"
NOTE = "ealn_plugin"
CHECKED_AT_OPENING = 2**28
"""Bytes: an index up to this size is checked whole whenever it is opened, a larger one by the sizes of its files."""


@dataclass(frozen=True)
class Manifest:
    """What an index says of itself.

    Attributes:
        dim: length of a feature.
        identity: what the features depend on, see ``FeatureExtractor.identity``.
        extractor: JSON values that tell how to make that extractor again, for the user's convenience.
        wanted: {'kind': 'auto' | 'flat' | 'ivf', 'nlist': int, 'nprobe': int}, 0 for automatic.
        complete: False while the first build is under way.
        next_id: the id that the next image gets.
        ivf: {} or {'nlist', 'nprobe', 'images': how many there were when the lists were learned, 'recall': at 10 with
            that nprobe}; until it is measured the recall is None and the nprobe 0, which is exact.
        calibration: {} or the values of a ``Calibration``.
        places: what is known of where and when: {} or 'distance' with the values of a ``CameraDistances``,
            'transitions' with those of a ``FittedTransitions``, and 'mean_distance' of two images, 1 - similarity.
        images: how many the index holds. size: bytes on disk, None in object storage.
    """

    dim: int
    identity: dict
    extractor: dict
    wanted: dict
    complete: bool = False
    next_id: int = 0
    ivf: dict = field(default_factory=dict)
    calibration: dict = field(default_factory=dict)
    places: dict = field(default_factory=dict)
    images: int = 0
    size: int | None = None


_STORED = ("dim", "identity", "extractor", "wanted", "complete", "next_id", "ivf", "calibration", "places")
_SINCE = {"places": {}}  # not in indices of earlier versions


def images_in(place: str | PathLike[str]) -> str:
    """Where the table of an index lies."""
    place = os.fspath(place)
    return f"{place.rstrip('/')}/{IMAGES}" if is_remote(place) else os.path.join(place, IMAGES)


class Store:
    """One index, in a folder or in object storage.

    Args:
        place: str or path-like; a URI for object storage.

    Attributes:
        manifest: ``Manifest``. table: ``Table``, at the version that counts.

    Raises:
        SearchIndexError: there is no index, it is damaged, or another version of the plugin has written it.
    """

    def __init__(self, place: str | PathLike[str]) -> None:
        self.folder, self.remote = os.fspath(place), is_remote(place)
        self._files: dict[str, Any] = {}
        version = None
        if not self.remote:
            version, self._files = read_files(self.folder)
            self._check_files(whole=sum(file["bytes"] for file in self._files.values()) <= CHECKED_AT_OPENING)
        try:
            with self.reading():
                self.table = Table(self.images, version)
                self.manifest = self._noted()
        except MissingFileError as error:
            raise no_index(self.folder) if self.remote else error from error

    @classmethod
    def create(cls, place: str | PathLike[str], manifest: Manifest) -> "Store":
        """An index without images.

        Raises:
            OSError: it cannot be written.
        """
        store = cls.__new__(cls)
        store.folder, store.remote, store._files, store.manifest = os.fspath(place), is_remote(place), {}, manifest
        if not store.remote and os.path.isdir(store.images):  # of a build that was killed before it began
            shutil.rmtree(store.images)
        with store.writing():
            store.table = Table.create(store.images, manifest.dim, over=store._half_created())
        store.commit()
        return store

    def _half_created(self) -> bool:
        """Whether object storage has an empty table that no process has called an index."""
        if not self.remote:
            return False
        try:
            table = Table(self.images)
        except (ValueError, OSError) as error:
            if says_missing(error):
                return False
            raise
        return NOTE not in table.notes() and not len(table)

    @property
    def images(self) -> str:
        """Where the table lies."""
        return images_in(self.folder)

    def _noted(self) -> Manifest:
        notes = self.table.notes()
        if self.remote and NOTE not in notes and not len(self.table):  # whoever created it was killed at once
            raise no_index(self.folder)
        if NOTE not in notes:
            raise ValueError("it is not one of this plugin")
        values = {**_SINCE, **json.loads(notes[NOTE])}
        if values.pop("format") != FORMAT or sorted(values) != sorted(_STORED):
            raise ValueError("another version of the plugin has written it")
        size = None if self.remote else sum(file["bytes"] for file in self._files.values())
        return Manifest(**values, images=len(self.table), size=size)

    # ------------------------------------------------------------------------------------------ checks
    def _check_files(self, whole: bool) -> None:
        for name, known in self._files.items():
            path = os.path.join(self.folder, IMAGES, name)
            try:
                state = state_of(path) if whole else {**known, "bytes": os.path.getsize(path)}
            except FileNotFoundError:
                raise MissingFileError(
                    f"{path!r} is missing from the index; take the index from a backup or make it anew"
                ) from None
            except OSError as error:
                raise self.damaged(path, error) from error
            if state != known:
                raise self.damaged(path, "its checksum is wrong")

    def verify(self) -> int:
        """Read everything there is and compare it with its checksums.

        Returns:
            int: how many images were compared.
        Raises:
            SearchIndexError: something is damaged; one sentence.
        """
        self._check_files(whole=True)
        count = 0
        with self.reading():
            for piece in self.table.scan((*KNOWN, "crc", "vector"), batch=2048):
                records = to_records(piece)
                wrong = checksums(records, matrix(piece["vector"])) != piece["crc"].to_numpy()
                if wrong.any():
                    raise self.damaged_images([records.paths[int(wrong.argmax())]])
                count += len(records)
        return count

    def damaged(self, path: str, why: object) -> SearchIndexError:
        """The error of a damaged file."""
        return SearchIndexError(f"{path!r} is damaged ({why}); take the index from a backup or make it anew")

    def damaged_images(self, paths: list) -> SearchIndexError:
        """The error of images whose checksum is wrong."""
        return SearchIndexError(
            f"the index {self.folder!r} is damaged (the checksum of {paths[0]!r} is wrong); take the index from a "
            "backup or make it anew"
        )

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Within it whatever the engine raises becomes a SearchIndexError."""
        try:
            yield
        except (SearchIndexError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a panic of the engine is no Exception
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            if self.remote and meaning(error):
                raise SearchIndexError(f"the index {self.folder!r} cannot be read: {meaning(error)}") from error
            if says_missing(error):
                raise MissingFileError(
                    f"a file is missing from the index {self.folder!r} ({first_line(error)}); take the index from a "
                    "backup or make it anew"
                ) from error
            raise SearchIndexError(
                f"the index {self.folder!r} cannot be read ({first_line(error)}); if it is damaged, take it from a "
                "backup or make it anew"
            ) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Within it whatever the engine raises becomes an OSError that says that nothing was changed."""
        try:
            yield
        except (SearchIndexError, UnwrittenError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            if self.remote and is_conflict(error):
                raise self._taken() from error
            if self.remote and meaning(error):
                raise UnwrittenError(f"the index {self.folder!r} could not be written: {meaning(error)}") from error
            raise UnwrittenError(
                f"the index {self.folder!r} could not be written ({first_line(error)}); it is as it was before: free "
                "some space and run the same command again"
            ) from error

    # ------------------------------------------------------------------------------------------ changes
    def _taken(self) -> SearchIndexError:
        return SearchIndexError(
            f"the index {self.folder!r} is being changed by another process; wait for it to end, then run the same "
            "command again"
        )

    def reserve(self, next_id: int) -> None:
        """In object storage: have the ids below ``next_id`` for this process alone, before it adds their images.

        Raises:
            SearchIndexError: another process is changing the index.
        """
        if not self.remote:
            return
        if self.table.notes().get(NOTE) != self._text(self.manifest):
            raise self._taken()
        manifest = replace(self.manifest, next_id=next_id)
        with self.writing():
            self._note(manifest)
        self.manifest = manifest

    def _note(self, manifest: Manifest) -> None:
        if self.remote and self.table.latest != self.table.version:  # Lance forgets conflicts with cleared versions
            raise self._taken()
        self.table.note({NOTE: self._text(manifest)})

    @staticmethod
    def _text(manifest: Manifest) -> str:
        return json.dumps({"format": FORMAT, **{name: getattr(manifest, name) for name in _STORED}})

    def commit(self, **changes: Any) -> None:
        """Make what the table holds now count, with changes of the manifest's attributes, and remove the rest."""
        manifest = replace(self.manifest, **changes)
        with self.writing():
            if self.table.notes().get(NOTE) != self._text(manifest):
                self._note(manifest)
            files = {} if self.remote else self._hashed()
            if not self.remote:
                write_atomically(os.path.join(self.folder, MANIFEST), files_text(self.table.version, files))
            self._files = files
            self.table.clean()
        size = None if self.remote else sum(file["bytes"] for file in files.values())
        self.manifest = replace(manifest, images=len(self.table), size=size)

    def _hashed(self) -> dict[str, Any]:
        """{name: {'bytes', 'sha256'}} of the table's files, on the disk for good; those known before are not read."""
        files = {}
        for name, size in sorted(self.table.files().items()):
            known = self._files.get(name)
            same = known is not None and known["bytes"] == size
            path = os.path.join(self.folder, IMAGES, name)
            if not same:
                check_end(path)
            files[name] = known if same else state_of(path, flush=True)
        return files

    def undo(self) -> None:
        """Take back what a killed process, or a change that failed, has left beyond the version that counts."""
        with self.writing():
            if self.table.latest != self.table.version:
                self.table.back_to(self.table.version)
                self.commit()
            else:
                self.table.clean()


def check_identity(store: Store, identity: Any) -> None:
    """Refuse features of another model than that of an index.

    Raises:
        SearchIndexError: naming what differs.
    """
    there = store.manifest.identity
    differing = sorted(name for name in {*there, *identity} if there.get(name) != identity.get(name))
    if differing:
        made_with = store.manifest.extractor.get("run") or store.manifest.extractor.get("weights")
        raise SearchIndexError(
            f"the index {store.folder!r} holds features of another model ({', '.join(differing)} differ"
            f"{'s' if len(differing) == 1 else ''}); use the model that it was built with"
            f"{f' ({made_with})' if made_with else ''}, or build another index with this one"
        )
