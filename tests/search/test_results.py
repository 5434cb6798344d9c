"""ealn_plugin/search/results.py: answers use the views that are known and leave nothing behind."""

import types

import torch

from ealn_plugin.data import VIEWPOINTS, View
from ealn_plugin.inference.extractor import as_view
from ealn_plugin.search import results


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
        view_of=lambda path: views.get(path, View.UNKNOWN), search=lambda features, k: [[] for _ in features]
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
