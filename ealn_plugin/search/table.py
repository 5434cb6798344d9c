"""The images of an index in one Lance dataset: their features, what is known of them, and the search among them.

Lance (https://lance.org) is the storage engine of LanceDB: columns in files that are written once, a manifest for every
version, filters with indices of their own, and inverted lists whose parts are read from disk when a query needs them. A
dataset lies in a folder or, given a URI, in object storage ('s3://bucket/gallery', 'gs://...', 'az://...'; remote.py).
"""

import json
import logging
import math
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from ealn_plugin.search.records import COLUMNS, Records
from ealn_plugin.search.remote import WAITING, is_remote
from ealn_plugin.system.extras import install_command

log = logging.getLogger(__name__)

VECTOR_INDEX = "lists"
FILE_ROWS = 65_536
"""Images of a data file after tidying: removing one image rewrites no more than these."""
SCALARS = (("camera", "BITMAP"), ("view", "BITMAP"), ("source", "BITMAP"), ("colour", "BITMAP"), ("type", "BITMAP"))
SORTED = ("id", "clock", "moment", "vehicle")
_TEXTS = ("vehicle", "camera", "colour", "type", "source", "track")
_NUMBERS = (("pid", "pids"), ("camid", "camids"), ("view", "views"), ("id", "ids"))
_SAMPLE, _ITERATIONS = 40, 10  # of k-means: vectors for each list, and rounds
KNOWN = ("id", "path", "pid", "camid", "view", "clock", "moment", *_TEXTS)
"""Columns of what is known of an image."""


def import_lance() -> Any:
    """The module lance.

    Raises:
        RuntimeError: it is not installed.
    """
    os.environ.setdefault("LANCE_LOG", "error")  # it warns of its own inner workings
    warnings.filterwarnings("ignore", "lance is not fork-safe")  # processes that load images do not use it
    try:
        import lance
    except ImportError as error:
        raise RuntimeError(
            f"searching needs pylance, which is not installed ({error}); install it with {install_command('search')}"
        ) from error
    return lance


def checksums(records: Records, vectors: np.ndarray) -> np.ndarray:
    """uint32 [n]: CRC-32 of each image's feature, float32 [n, dim], and of all that is known of it.

    Lance has no checksums, so every answer is checked by this one.
    """
    columns = [getattr(records, name).tolist() for name in COLUMNS]
    lines = (repr(values).encode("utf-8", "backslashreplace") for values in zip(records.paths, *columns))
    return np.array([zlib.crc32(line, zlib.crc32(vector.data)) for line, vector in zip(lines, vectors)], np.uint32)


class Table:
    """One version of the dataset; whoever changes it moves on to the new version.

    Args:
        uri: where it is. version: number; None: the latest.
    Raises:
        ValueError, OSError: there is none.
    """

    def __init__(self, uri: str, version: int | None = None) -> None:
        self.uri, self._lance = uri, import_lance()
        self._options = WAITING if is_remote(uri) else None
        self._dataset = self._lance.dataset(uri, version=version, storage_options=self._options)

    @classmethod
    def create(cls, uri: str, dim: int, over: bool = False) -> "Table":
        """An empty table for features of so many numbers; ``over``: in the place of one that there is."""
        lance, schema = import_lance(), _schema(dim)
        options = WAITING if is_remote(uri) else None
        mode = "overwrite" if over else "create"
        lance.write_dataset(schema.empty_table(), uri, schema=schema, mode=mode, storage_options=options)
        return cls(uri)

    # ------------------------------------------------------------------------------------------ what there is
    def __len__(self) -> int:
        return self._dataset.count_rows()

    @property
    def version(self) -> int:
        """Number of the version."""
        return self._dataset.version

    @property
    def dim(self) -> int:
        """Length of a feature."""
        return self._dataset.schema.field("vector").type.list_size

    def notes(self) -> dict[str, str]:
        """What ``note`` has kept."""
        return dict(self._dataset.config())

    def indices(self) -> dict[str, Any]:
        """{name: description} of the indices."""
        return {index.name: index for index in self._dataset.describe_indices()}

    def unlisted(self) -> int:
        """How many images the inverted lists do not hold yet; a query compares them one by one."""
        index = self.indices().get(VECTOR_INDEX)
        return len(self) - (index.num_rows_indexed if index else 0)

    def files(self) -> dict[str, int]:
        """{name below the dataset: bytes} of the files that this version consists of; of a folder, not of a URI."""
        tracked = self._dataset.tracked_files().read_all().to_pydict()
        names = {name for name, version in zip(tracked["path"], tracked["version"]) if version == self.version}
        return {name: os.path.getsize(os.path.join(self.uri, name)) for name in names}

    def fragments(self) -> int:
        """How many files hold the images."""
        return len(self._dataset.get_fragments())

    def count(self, where: str = "") -> int:
        """How many images fulfil a condition."""
        return self._dataset.count_rows(filter=where or None)

    def span(self, column: str) -> float:
        """The difference of the largest and the smallest number of a column, 0 where there is none."""
        least, largest = math.inf, -math.inf
        for piece in self.scan((column,), f"{column} IS NOT NULL"):
            values = piece[column].to_numpy()
            least, largest = min(least, values.min(initial=math.inf)), max(largest, values.max(initial=-math.inf))
        return max(0.0, float(largest - least))

    @staticmethod
    def named(paths: Sequence[str]) -> str:
        """The condition that an image has one of some paths."""
        literals = (f"X'{os.fsencode(path).hex()}'" for path in paths)
        return f"path IN ({', '.join(literals)})"

    def scan(self, columns: Sequence[str] = KNOWN, where: str = "", batch: int = 8192) -> Iterator[Any]:
        """Arrow record batches of the images in the order in which they were added."""
        yield from self._dataset.scanner(
            columns=list(columns), filter=where or None, batch_size=batch, scan_in_order=True
        ).to_batches()

    def vectors(self, where: str = "", batch: int = 8192) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(ids int64 [n], features float32 [n, dim]) in pieces."""
        for piece in self.scan(("id", "vector"), where, batch):
            yield piece["id"].to_numpy(), matrix(piece["vector"])

    # ------------------------------------------------------------------------------------------ asking
    def nearest(
        self, queries: np.ndarray, k: int, where: str = "", nprobe: int = 0, refine: int = 1
    ) -> list[tuple[Records, np.ndarray, list[str]]]:
        """The nearest images of each query.

        Args:
            queries: float32 [q, dim]; k: how many.
            where: condition of ``Filter.sql``, '' for none.
            nprobe: inverted lists to look through; 0: exact, through all images.
            refine: so many times k candidates are compared exactly.
        Returns:
            for every query (Records [m], features float32 [m, dim], paths of those that are damaged), m at most k, in
            the engine's order.
        """
        asked: dict[str, Any] = dict(column="vector", q=queries, k=k, use_index=nprobe > 0)
        if nprobe:
            # a filter that leaves too few images in those lists makes the engine look through more
            asked.update(minimum_nprobes=nprobe, refine_factor=refine)
            if not where:
                asked["maximum_nprobes"] = nprobe
        found = self._dataset.to_table(
            columns=[*KNOWN, "crc", "vector"],
            nearest=asked,
            filter=where or None,
            prefilter=True,
            disable_scoring_autoprojection=True,
        )
        numbers = found["query_index"].to_numpy() if "query_index" in found.column_names else np.zeros(len(found), int)
        records, vectors = to_records(found), matrix(found["vector"].combine_chunks())
        wrong = checksums(records, vectors) != found["crc"].to_numpy()
        rows = [np.flatnonzero(numbers == number) for number in range(len(queries))]
        return [
            (records.take(part), vectors[part], [records.paths[row] for row in part if wrong[row]]) for part in rows
        ]

    # ------------------------------------------------------------------------------------------ changing
    def add(self, records: Records, vectors: np.ndarray) -> None:
        """Append images, all or none."""
        self._dataset = self._lance.write_dataset(
            _to_arrow(records, vectors), self._dataset, mode="append", storage_options=self._options
        )

    def write_apart(self, records: Records, vectors: np.ndarray) -> list[str]:
        """Write images to files that no version has yet, and nobody reads; returns what ``adopt`` takes, as JSON."""
        if not len(records):
            return []
        data = _to_arrow(records, vectors)
        written = self._lance.fragment.write_fragments(
            data, self._dataset, schema=data.schema, mode="append", storage_options=self._options
        )
        return [json.dumps(fragment.to_json()) for fragment in written]

    def adopt(self, written: Sequence[str]) -> None:
        """Append what processes have written apart, all in one version, in this order."""
        fragments = [self._lance.FragmentMetadata.from_json(text) for text in written]
        append = self._lance.LanceOperation.Append(fragments)
        self._dataset = self._lance.LanceDataset.commit(
            self._dataset, append, read_version=self.version, storage_options=self._options
        )

    def remove(self, where: str) -> None:
        """Remove the images that fulfil a condition."""
        self._dataset.delete(where)

    def note(self, values: Mapping[str, str]) -> None:
        """Keep some texts."""
        self._dataset.update_config(dict(values))

    def learn(self, lists: int) -> None:
        """Make the inverted lists anew, and the indices of what is filtered by.

        In the lists a feature is one bit for each of its numbers, after a random rotation (RaBitQ; Gao and Long, SIGMOD
        2024), where their number allows it; the candidates that they give are compared exactly.
        """
        packed: dict[str, Any] = {"index_type": "IVF_RQ", "num_bits": 1} if self.dim % 8 == 0 else {}
        self._dataset.create_index(
            "vector",
            **(packed or {"index_type": "IVF_FLAT"}),
            name=VECTOR_INDEX,
            metric="L2",
            num_partitions=lists,
            sample_rate=_SAMPLE,
            max_iters=_ITERATIONS,
            replace=True,
        )
        for column, kind in (*SCALARS, *((column, "BTREE") for column in SORTED)):
            self._dataset.create_scalar_index(column, kind, name=f"by_{column}", replace=True)

    def forget(self) -> None:
        """Drop all indices."""
        for name in self.indices():
            self._dataset.drop_index(name)

    def tidy(self) -> None:
        """Join small files, leave out what was removed, and bring the indices up to date."""
        self._dataset.optimize.compact_files(target_rows_per_fragment=FILE_ROWS, materialize_deletions_threshold=0.0)
        if self.indices():
            self._dataset.optimize.optimize_indices(num_indices_to_merge=1)
        self._dataset = self._lance.dataset(self.uri, storage_options=self._options)

    def back_to(self, version: int) -> None:
        """Make an older version the newest one."""
        self._dataset = self._lance.dataset(self.uri, version=version, storage_options=self._options)
        self._dataset.restore()
        self._dataset = self._lance.dataset(self.uri, storage_options=self._options)

    @property
    def latest(self) -> int:
        """Number of the newest version."""
        return self._dataset.latest_version

    def clean(self) -> None:
        """Remove the files of all other versions, and of changes that were never finished.

        In object storage, where there is no lock, the latter may belong to a change that another process is making;
        they go after a week.
        """
        self._dataset.cleanup_old_versions(timedelta(0), delete_unverified=not is_remote(self.uri))


# ---------------------------------------------------------------------------------------------- Arrow
def _schema(dim: int) -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.int64()),
            ("path", pa.binary()),
            ("pid", pa.int64()),
            ("camid", pa.int64()),
            ("view", pa.int8()),
            ("clock", pa.float64()),
            ("moment", pa.float64()),
            *((name, pa.string()) for name in _TEXTS),
            ("crc", pa.uint32()),
            ("vector", pa.list_(pa.float32(), dim)),
        ]
    )


def _to_arrow(records: Records, vectors: np.ndarray) -> Any:
    import pyarrow as pa

    count, dim = vectors.shape
    known = ~np.isnan(records.times)
    values = {name: getattr(records, column) for name, column in _NUMBERS}
    values |= {name: getattr(records, f"{name}s").tolist() for name in _TEXTS}
    values["path"] = [os.fsencode(path) for path in records.paths]
    values["clock"] = np.ma.masked_array(records.times, ~known | records.dated).tolist()
    values["moment"] = np.ma.masked_array(records.times, ~known | ~records.dated).tolist()
    values["crc"] = checksums(records, vectors)
    values["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).ravel()), dim)
    schema = _schema(dim)
    arrays = [pa.array(values[name], schema.field(name).type) for name in schema.names[:-1]]
    return pa.table([*arrays, values["vector"]], schema=schema)


def matrix(column: Any) -> np.ndarray:
    """float32 [n, dim] of an Arrow column of features."""
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)


def to_records(table: Any) -> Records:
    """The Records of an Arrow table or record batch that has the columns ``KNOWN``."""

    def numbers(name: str) -> np.ndarray:
        return table[name].to_numpy(zero_copy_only=False)

    clock, moment = numbers("clock").astype(np.float64), numbers("moment").astype(np.float64)
    return Records(
        [os.fsdecode(path) for path in table["path"].to_pylist()],
        **{column: numbers(name) for name, column in _NUMBERS},
        times=np.where(np.isnan(clock), moment, clock),
        dated=~np.isnan(moment),
        **{f"{name}s": np.array(table[name].to_pylist(), object) for name in _TEXTS},
    )
