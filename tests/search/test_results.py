"""ealn_plugin/search/results.py: answers use the views that are known and leave nothing behind."""

import csv
import io
import types

import torch

from ealn_plugin.data import VIEWPOINTS, View
from ealn_plugin.inference.extractor import as_view
from ealn_plugin.search import results
from ealn_plugin.search.hits import Hit


class Extractor:
    """Stands for FeatureExtractor; keeps what it was asked for."""

    def __init__(self, classifier=None):
        self.classifier, self.asked = classifier, []

    def extract(self, images, views=None, predict=False):
        self.asked.append((images, list(views), predict))
        return types.SimpleNamespace(
            features=torch.zeros(len(images), 2), views=torch.tensor([int(as_view(view)) for view in views])
        )


def index_that_knows(views):
    return types.SimpleNamespace(
        views_of=lambda paths: [views.get(path, View.UNKNOWN) for path in paths],
        search=lambda features, k, where, group_by, whereabouts: [[] for _ in features],
    )


def test_a_query_passes_the_known_views_and_changes_no_table():
    index, extractor = index_that_knows({"/a.jpg": View.REAR}), Extractor()
    answers = results.answer(index, extractor, ["/a.jpg", "/b.jpg"])
    assert [view for _, view, _ in answers] == [View.REAR, View.UNKNOWN]
    assert extractor.asked == [(["/a.jpg", "/b.jpg"], [View.REAR, View.UNKNOWN], False)]
    assert VIEWPOINTS.get("/a.jpg") == View.UNKNOWN


def test_views_of_datasets_fill_in_and_a_classifier_predicts_the_rest(monkeypatch):
    monkeypatch.setattr(VIEWPOINTS, "_labels", {"/b.jpg": int(View.FRONT), "/a.jpg": int(View.FRONT)})
    index, extractor = index_that_knows({"/a.jpg": View.REAR}), Extractor(classifier=object())
    results.answer(index, extractor, ["/a.jpg", "/b.jpg", "/c.jpg"])
    assert extractor.asked[0][1:] == ([View.REAR, View.FRONT, View.UNKNOWN], True)


def test_a_view_that_is_given_counts_for_all():
    extractor = Extractor(classifier=object())
    results.answer(index_that_knows({"/a.jpg": View.REAR}), extractor, ["/a.jpg"], view="front")
    assert extractor.asked[0][1:] == (["front"], False)


HITS = [
    Hit(1, 0.91, "/a b.jpg", 7, 2, int(View.REAR), 5, "7", "3", "16450", "red", "van", "veri776", "test 1", 2),
    Hit(2, 0.5, "/c\n.jpg", 1, -1, int(View.UNKNOWN), 6, "07 HH", "", "", "", "", "/x", "", 0),
]


def test_hits_as_lines_as_json_and_as_csv():
    answers = [("/q.jpg", View.FRONT, HITS), ("/r.jpg", View.UNKNOWN, [])]
    lines = results.table(answers)
    assert lines[0] == "/q.jpg (front)"
    assert lines[1].split() == "rank similarity vehicle camera view time colour type more image".split()
    assert lines[2].split() == ["1", "0.9100", "7", "3", "rear", "16450", "red", "van", "2", "/a", "b.jpg"]
    assert lines[3].split() == ["2", "0.5000", "07", "HH", "unknown", "/c\\n.jpg"] and lines[4:6] == ["", "/r.jpg"]
    assert [line.index("image") for line in lines if "image" in line] == [lines[2].index("/a b.jpg")] * 2
    first, second = (results.hit_json(hit) for hit in HITS)
    assert (first["vehicle"], first["camera"], first["view"], first["time"]) == (7, 3, "rear", "16450")
    assert (second["vehicle"], second["camera"], second["view"], second["time"]) == ("07 HH", None, None, None)
    rows = list(csv.DictReader(io.StringIO(results.as_csv(answers))))
    assert [row["query"] for row in rows] == ["/q.jpg"] * 2 and rows[1]["image"] == "/c\n.jpg"
    assert (rows[0]["vehicle"], rows[0]["colour"], rows[1]["vehicle"], rows[1]["camera"]) == ("7", "red", "07 HH", "")


def test_the_table_has_only_columns_of_which_something_is_known():
    plain = [Hit(1, 0.5, "/a.jpg", -1, -1, -1, 0)]
    assert results.table([("/q.jpg", View.UNKNOWN, plain)])[1].split() == (
        "rank similarity vehicle camera view image".split()
    )
