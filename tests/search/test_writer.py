"""ealn_plugin/search/writer.py and store.py: what an index holds after changes, faults and kills."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ealn_plugin.search import (
    IndexWriter,
    Records,
    SearchIndex,
    SearchIndexError,
    index_files,
    neighbours,
    results,
    store,
    table,
)
from ealn_plugin.search.store import Store
from ealn_plugin.system import files
from tests.helpers.pages import ROOT
from tests.helpers.standins import build_index, clustered

pytest.importorskip("lance")


def content(folder):
    """{path: feature} of an index, checked by its own search."""
    index = SearchIndex.open(folder, kind="flat")
    assert len(set(index.records.ids.tolist())) == len(index)
    return dict(zip(index.records.paths, index.features(index.records.ids.tolist())))


def there(folder):
    """The files of the images, as they lie in the folder."""
    images = folder / "images.lance"
    found = {str(path.relative_to(images)) for path in images.rglob("*") if path.is_file()}
    return found - {"_versions/latest_version_hint.json"}


def assert_holds(folder, vectors, rows):
    found = content(folder)
    assert sorted(found) == sorted(f"/gallery/{row}.jpg" for row in rows)
    for row in rows:
        np.testing.assert_array_equal(found[f"/gallery/{row}.jpg"], vectors[row])


def test_adding_in_pieces_is_adding_at_once(tmp_path):
    vectors = clustered(200)
    build_index(tmp_path / "once", vectors)
    for first, last in ((0, 10), (10, 11), (11, 150), (150, 200)):
        manifest = build_index(tmp_path / "pieces", vectors[first:last], first)
    assert_holds(tmp_path / "pieces", vectors, range(200))
    one, other = SearchIndex.open(tmp_path / "once"), SearchIndex.open(tmp_path / "pieces")
    assert one.search(vectors[:20], 5) == other.search(vectors[:20], 5)
    assert sorted(os.listdir(tmp_path / "pieces")) == ["images.lance", "lock", "manifest.json"]
    assert there(tmp_path / "pieces") == set(Store(tmp_path / "pieces").table.files()) and manifest.images == 200


def test_many_small_additions_leave_few_files(tmp_path):
    vectors = clustered(60)
    for row in range(0, 60, 3):
        build_index(tmp_path, vectors[row : row + 3], row)
    assert Store(tmp_path).table.fragments() < 20
    assert_holds(tmp_path, vectors, range(60))


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_removing(tmp_path, kind):
    vectors = clustered(200)
    build_index(tmp_path, vectors, kind=kind, nlist=5, nprobe=5)
    with IndexWriter.open(tmp_path) as writer:
        assert writer.remove(lambda records: np.isin(records.pids, [0, 30])) == 8
        assert writer.remove(lambda records: np.zeros(len(records), dtype=bool)) == 0
        assert writer.absent(["/gallery/1.jpg", "/gallery/9.jpg", "/new", "/new"]) == [0, 2]
        writer.finish()
    left = [row for row in range(200) if row // 4 not in (0, 30)]
    assert_holds(tmp_path, vectors, left)
    found = SearchIndex.open(tmp_path).search(vectors, 1)
    assert [found[row][0].id for row in left] == left and found[0][0].id != 0
    build_index(tmp_path, vectors[:4], 0, kind=kind, nlist=5, nprobe=5)  # an id is never given twice
    assert SearchIndex.open(tmp_path).search(vectors[:1], 1)[0][0].id == 200
    with IndexWriter.open(tmp_path) as writer:
        assert writer.remove(lambda records: np.ones(len(records), dtype=bool)) == 196
        writer.finish()
    assert len(SearchIndex.open(tmp_path)) == 0 and SearchIndex.open(tmp_path).search(vectors[:1], 3) == [[]]


def test_the_kind_is_chosen_by_size_and_can_be_overridden(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours, "FLAT_UP_TO", 150)
    vectors = clustered(700)
    assert build_index(tmp_path / "auto", vectors[:150]).ivf == {}
    grown = build_index(tmp_path / "auto", vectors[150:400], 150)
    assert grown.ivf["nlist"] == 10 and grown.ivf["images"] == 400 and grown.ivf["recall"] >= 0.97
    assert 1 <= grown.ivf["nprobe"] <= 10
    again = build_index(tmp_path / "auto", vectors[400:], 400)
    assert again.ivf == grown.ivf  # not learned again
    assert_holds(tmp_path / "auto", vectors, range(700))
    assert build_index(tmp_path / "flat", vectors, kind="flat").ivf == {}
    given = build_index(tmp_path / "given", vectors, kind="ivf", nlist=7, nprobe=2).ivf
    assert (given["nlist"], given["nprobe"]) == (7, 2)
    assert given["recall"] == pytest.approx(SearchIndex.open(tmp_path / "given").recall_by_nprobe(10, 200)(2))
    with pytest.raises(ValueError, match="nlist is 8, but there are only 5 images; lower --nlist"):
        build_index(tmp_path / "few", vectors[:5], kind="ivf", nlist=8)
    with IndexWriter.open(tmp_path / "auto") as writer:
        writer.remove(lambda records: records.ids >= 100)
        writer.finish()
    assert writer.manifest.ivf == {} and writer.store.table.indices() == {}


def test_images_added_since_the_lists_were_learned_are_found(tmp_path):
    vectors = clustered(300)
    build_index(tmp_path, vectors[:200], kind="ivf", nlist=5, nprobe=1)
    with IndexWriter.open(tmp_path, segment=64) as writer:
        writer.add([(Records([f"/gallery/{row}.jpg" for row in range(200, 300)]), vectors[200:])])
    assert writer.store.table.unlisted() == 100  # not finished: killed here, say
    found = [hits[0].id for hits in SearchIndex.open(tmp_path).search(vectors, 1)]
    assert found[200:] == list(range(200, 300)) and np.mean(np.array(found) == np.arange(300)) > 0.98


def test_the_sizes_of_the_features_are_checked(tmp_path):
    vectors = clustered(10)
    build_index(tmp_path, vectors)
    long, nan = vectors * 2, vectors.copy()
    nan[3, 1] = np.nan
    for wrong, sentence in (
        (long, "feature of '/gallery/0.jpg' has length 2, expected 1"),
        (nan, "feature of '/gallery/3.jpg' has length nan"),
        (vectors[:, :8], r"shape \(10, 8\), expected \(10, 16\)"),
    ):
        with pytest.raises(ValueError, match=sentence), IndexWriter.open(tmp_path) as writer:
            writer.add([(Records([f"/gallery/{row}.jpg" for row in range(10)]), wrong)])
    assert_holds(tmp_path, vectors, range(10))
    for options, sentence in (
        (dict(kind="tree"), "kind is 'tree', expected one of auto, flat, ivf"),
        (dict(nlist=-1), "nlist is -1"),
        (dict(nprobe=-2), "nprobe is -2"),
    ):
        with pytest.raises(ValueError, match=sentence):
            IndexWriter(tmp_path, 16, {}, **options)
    with pytest.raises(SearchIndexError, match="another model"), IndexWriter.open(tmp_path, {"weights": "b"}):
        pass


def test_two_writers_at_once_get_a_sentence(tmp_path):
    build_index(tmp_path, clustered(10))
    with IndexWriter.open(tmp_path):
        with pytest.raises(SearchIndexError, match="is being changed by another process"), IndexWriter.open(tmp_path):
            pass
    with IndexWriter.open(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match="cannot be written .*; choose another folder"),
        IndexWriter(tmp_path / "file", 16, {}),
    ):
        pass


def test_a_build_that_was_stopped_goes_on(tmp_path):
    vectors = clustered(150)

    def stopping():
        for row in range(0, 150, 10):
            if row == 100:
                raise KeyboardInterrupt
            yield Records([f"/gallery/{n}.jpg" for n in range(row, row + 10)]), vectors[row : row + 10]

    with pytest.raises(KeyboardInterrupt), IndexWriter(tmp_path, 16, {"weights": "a"}, segment=32) as writer:
        writer.add(stopping())
    assert not Store(tmp_path).manifest.complete
    assert_holds(tmp_path, vectors, range(96))  # whole segments
    with IndexWriter(tmp_path, 16, {"weights": "a"}, segment=32) as writer:
        rows = writer.absent([f"/gallery/{n}.jpg" for n in range(150)])
        assert rows == list(range(96, 150))
        assert writer.add([(Records([f"/gallery/{n}.jpg" for n in rows]), vectors[rows])]) == 54
        writer.finish()
    assert writer.manifest.complete
    assert_holds(tmp_path, vectors, range(150))


def changes(folder, vectors):
    """A sequence of changes that writes every kind of file; yields the rows that are there after each."""
    build_index(folder, vectors[:100], segment=300, kind="ivf", nlist=3, nprobe=1)
    yield range(100)
    build_index(folder, vectors[100:130], 100, segment=300, kind="ivf", nlist=3, nprobe=1)
    yield range(130)
    with IndexWriter.open(folder) as writer:
        writer.remove(lambda records: records.ids < 50)
        writer.finish()
    yield range(50, 130)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_commit_leaves_the_old_or_the_new_index(tmp_path, monkeypatch, when):
    """The process "dies" before or after each change counts, in turn; what Lance wrote by then lies there."""
    vectors, step, finished, real = clustered(130), 0, False, os.replace
    states = [set(), set(range(100)), set(range(130)), set(range(50, 130))]

    class Crash(BaseException):
        pass

    while not finished:
        folder, left, done = tmp_path / f"{when} {step}", [step], 0

        def replace(source, target, left=left):
            left[0] -= 1
            if left[0] >= 0 or when == "after":
                real(source, target)
            if left[0] < 0:
                raise Crash

        monkeypatch.setattr(files.os, "replace", replace)
        try:
            for rows in changes(folder, vectors):
                done += 1
                assert set(rows) == states[done]
            finished = True
        except Crash:
            pass
        monkeypatch.setattr(files.os, "replace", real)
        if os.path.exists(folder / "manifest.json"):
            present = {int(path[9:-4]) for path in content(folder)}
            assert present in states[done : done + 2]
            assert f"{len(present)} images" in results.summary(folder, Store(folder).manifest)[0]
            build_index(folder, vectors[:5], 900)  # whatever is left there, the next change works
            assert len(content(folder)) == len(present) + 5 and there(folder) == set(Store(folder).table.files())
        else:
            build_index(folder, vectors[:5])
        step += 1
    assert step > 6


@pytest.mark.parametrize("what", ["add", "note", "files"])
def test_a_full_disk_leaves_the_index_as_it_was(tmp_path, monkeypatch, what):
    vectors = clustered(130)
    build_index(tmp_path, vectors[:100])

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    target = {"add": (table.Table, "add"), "note": (table.Table, "note"), "files": (files.os, "replace")}[what]
    monkeypatch.setattr(*target, full)
    with pytest.raises(OSError, match="could not be written .*No space left.*free some"):
        build_index(tmp_path, vectors[100:], 100)
    monkeypatch.undo()
    assert_holds(tmp_path, vectors, range(100))
    build_index(tmp_path, vectors[100:], 100)
    assert_holds(tmp_path, vectors, range(130))


def test_a_manifest_that_names_other_files_is_refused(tmp_path):
    build_index(tmp_path, clustered(10))
    text = (tmp_path / "manifest.json").read_text()
    values = json.loads(text)["index"]
    for change in (
        dict(files={"../../etc/passwd": {"bytes": 1, "sha256": ""}}),
        dict(files={"/etc/passwd": {"bytes": 1, "sha256": ""}}),
        dict(version="many"),
        dict(files=3),
    ):
        wrong = {**values, **change}
        (tmp_path / "manifest.json").write_text(
            json.dumps({"format": 2, "index": wrong, "sha256": index_files._digest(wrong)})
        )
        with pytest.raises(SearchIndexError, match="is not the manifest of an index, or damaged"):
            SearchIndex.open(tmp_path)
    for wrong in ("", "[]", "null", "{}", text[:100], "[" * 5000):
        (tmp_path / "manifest.json").write_text(wrong)
        with pytest.raises(SearchIndexError, match="is not the manifest of an index, or damaged"):
            SearchIndex.open(tmp_path)


KILLED = """
import os, random, signal, sys, time
import numpy as np
import ealn_plugin
from ealn_plugin.search import IndexWriter, Records, SearchIndex
from tests.helpers.standins import clustered

folder, kills = sys.argv[1], int(sys.argv[2])
vectors, order = clustered(4000), random.Random(1)

def operations():
    number, first = 0, 0
    while True:
        if number % 3 == 2:
            yield 'remove', number % 5
        else:
            yield 'add', range(first, first + 37)
            first += 37
        number += 1

def expected(done):
    rows = set()
    for (what, which), _ in zip(operations(), range(done)):
        rows = rows | set(which) if what == 'add' else {row for row in rows if row % 5 != which}
    return rows

def name(row):
    return f'/gallery/{row}.jpg'

def apply(writer, what, which):
    if what == 'add':
        rows = [list(which)[i] for i in writer.absent([name(row) for row in which])]
        parts = [rows[i:i + 9] for i in range(0, len(rows), 9)]
        writer.add((Records([name(row) for row in part]), vectors[part]) for part in parts)
    else:
        writer.remove(lambda records: np.array([int(path[9:-4]) % 5 == which for path in records.paths]))
    writer.finish()

def work(done):
    for number, operation in enumerate(operations()):
        if number >= done:
            with IndexWriter(folder, 16, {'m': 1}, kind='ivf', nlist=4, nprobe=2, segment=16) as writer:
                apply(writer, *operation)
            with open(folder + '.done', 'a') as file:
                file.write('x')

faults = 0
for _ in range(kills):
    done = os.path.getsize(folder + '.done') if os.path.exists(folder + '.done') else 0
    child = os.fork()
    if not child:
        work(done)
        os._exit(1)
    time.sleep(order.uniform(0.0, 0.8))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    faults += 1
    done = os.path.getsize(folder + '.done') if os.path.exists(folder + '.done') else 0
    if not os.path.exists(os.path.join(folder, 'manifest.json')):
        assert not done
        continue
    index = SearchIndex.open(folder, kind='flat')
    present = {int(path[9:-4]) for path in index.records.paths}
    before, after = expected(done), expected(done + 1)
    assert present in (before, after) or before < present < after, (done, before ^ present)
    features = index.features(index.records.ids.tolist())
    for feature, path in zip(features, index.records.paths):
        assert (feature == vectors[int(path[9:-4])]).all()
print(faults, done)
"""


@pytest.mark.slow
def test_sixty_kills_lose_nothing(tmp_path):
    """SIGKILL at random moments of adding, removing and learning lists: every change is there whole or not begun,
    apart from whole segments of an addition, and what was done before stays."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "index"), "60"],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    faults, operations = map(int, done.stdout.split())
    assert faults == 60 and operations >= 5


def test_a_file_that_the_system_took_in_part_is_noticed(tmp_path, monkeypatch):
    """As on a full disk: Lance counts what it wrote last as whole, however little of it was taken."""
    build_index(tmp_path, clustered(40))
    before = SearchIndex.open(tmp_path)
    nearest = before.search(clustered(40)[:3], 5)
    check = store.check_end

    def cut(path):
        if path.endswith(".lance"):
            with open(path, "rb+") as file:
                file.truncate(os.path.getsize(path) - 7)
        check(path)

    monkeypatch.setattr(store, "check_end", cut)
    with pytest.raises(OSError, match=r"only a part of .*\.lance was taken.* it is as it was before: free some space"):
        build_index(tmp_path, clustered(60)[40:], 40)
    monkeypatch.undo()
    assert SearchIndex.open(tmp_path).search(clustered(40)[:3], 5) == nearest
    build_index(tmp_path, clustered(60)[40:], 40)
    assert len(SearchIndex.open(tmp_path)) == 60
