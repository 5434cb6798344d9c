"""ealn_plugin/search/store.py: an index in object storage, which a file system stands for here."""

import numpy as np
import pytest

from ealn_plugin.search import IndexWriter, Records, SearchIndex, SearchIndexError
from ealn_plugin.search.remote import is_remote
from ealn_plugin.search.store import Store
from tests.helpers.standins import build_index, clustered

pytest.importorskip("lance")


def test_an_index_at_an_address_is_used_like_one_in_a_folder(tmp_path):
    uri, vectors = f"file-object-store://{tmp_path}/gallery", clustered(200)
    with pytest.raises(SearchIndexError, match="holds no index; make one with ealn search index"):
        SearchIndex.open(uri)
    build_index(uri, vectors[:100])
    reader = SearchIndex.open(uri)
    build_index(uri, vectors[100:], 100, kind="ivf", nlist=4, nprobe=4)
    with IndexWriter.open(uri) as writer:
        assert writer.remove(lambda records: records.ids < 50) == 50
        writer.finish()
    assert len(reader) == 100 and reader.search(vectors[150:151], 1)[0][0].id == 150  # its files are gone by now
    assert len(reader) == 150 == SearchIndex.open(uri).verify() and reader.manifest.size is None
    with pytest.raises(SearchIndexError, match=r"another model \(weights differs\)"):
        SearchIndex.open(uri, {"weights": "b"})
    assert not (tmp_path / "gallery" / "manifest.json").exists()
    assert [is_remote(place) for place in ("s3://a/b", "log/index", tmp_path)] == [True, False, False]


def test_ids_are_not_given_twice_when_a_process_dies_between_images_and_notes(tmp_path):
    uri, vectors = f"file-object-store://{tmp_path}/gallery", clustered(20)
    build_index(uri, vectors[:10])
    store = Store(uri)
    store.table.add(Records([f"/x/{row}.jpg" for row in range(5)], ids=np.arange(10, 15)), vectors[10:15])
    build_index(uri, vectors[15:], 15)
    assert sorted(SearchIndex.open(uri).records.ids.tolist()) == list(range(20))


def test_of_two_that_change_it_at_once_one_is_refused(tmp_path):
    uri, vectors = f"file-object-store://{tmp_path}/gallery", clustered(40)
    build_index(uri, vectors[:10])

    def images(first):
        return [(Records([f"/x/{row}.jpg" for row in range(first, first + 10)]), vectors[first : first + 10])]

    with IndexWriter.open(uri) as one, IndexWriter.open(uri) as other:
        one.add(images(10))
        with pytest.raises(SearchIndexError, match="is being changed by another process; wait for it to end"):
            other.add(images(20))
        one.add(images(30))
        one.finish()
    assert sorted(SearchIndex.open(uri).records.ids.tolist()) == list(range(30))
