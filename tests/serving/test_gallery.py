"""ealn_plugin/serving/gallery.py: the index's answers, cropped pictures, and the images that may be seen."""

import io

import numpy as np
import pytest
from PIL import Image

from ealn_plugin.search.filters import Filter
from ealn_plugin.search.places import Whereabouts
from ealn_plugin.serving.gallery import Placing, filter_of


def test_what_there_is(gallery):
    info = gallery.info()
    assert info["images"] == 12 and info["note"] == "Colours alone count." and not info["predicts_views"]
    assert info["filters"]["camera"] == {"1": 4, "2": 4, "3": 4} and info["filters"]["view"] == {"front": 6, "rear": 6}
    assert info["views"] == ["front", "rear", "side"]


def test_a_picture_and_a_part_of_it(gallery):
    both = Image.new("RGB", (100, 50), (255, 0, 0))
    both.paste((35, 0, 220), (50, 0, 100, 50))
    whole, left, right = (
        gallery.search_picture(both, box, "", Filter(), 3, "")["hits"]
        for box in (None, (0, 0, 0.5, 1), (0.5, 0.0, 1.0, 1.0))
    )
    assert [hit["image"] for hit in left] == ["00.png", "01.png", "02.png"]
    assert [hit["image"] for hit in right] == ["11.png", "10.png", "09.png"]
    assert whole[0]["image"] in ("05.png", "06.png", "07.png") and [hit["rank"] for hit in whole] == [1, 2, 3]
    assert left[0]["similarity"] == pytest.approx(1) and left[0]["vehicle"] == 0 and left[0]["camera"] == 1
    assert gallery.search_picture(both, None, "rear", Filter(), 1, "")["view"] == "rear"


@pytest.mark.parametrize(
    "box, reason",
    [((0.5, 0, 0.5, 1), "in that order"), ((-0.1, 0, 1, 1), "in that order"), ((0, 0, 0.01, 1), "draw a larger one")],
)
def test_boxes_that_are_none(gallery, box, reason):
    with pytest.raises(ValueError, match=reason):
        gallery.search_picture(Image.new("RGB", (100, 50)), box, "", Filter(), 3, "")


def test_from_an_image_of_the_index_itself_left_out(gallery):
    found = gallery.search_image(4, Filter(), 4, "")
    assert [hit["id"] for hit in found["hits"]][:2] == [3, 5] or [hit["id"] for hit in found["hits"]][:2] == [5, 3]
    assert len(found["hits"]) == 4 and 4 not in [hit["id"] for hit in found["hits"]]
    assert found["query"] == {"id": 4, "image": "04.png", "vehicle": "2", "camera": "2", "time": "4"}
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3, 4] and found["view"] == "front"
    where = filter_of({"camera": ["1"], "after": "2", "before": "9", "view": []})
    assert [hit["id"] for hit in gallery.search_image(4, where, 9, "")["hits"]] == [3, 6, 9]
    grouped = gallery.search_image(0, Filter(), 2, "camera")["hits"]
    assert [hit["camera"] for hit in grouped] == [2, 3]
    for number in (12, -1):
        with pytest.raises(KeyError):
            gallery.search_image(number, Filter(), 4, "")
    for k in (0, 201):
        with pytest.raises(ValueError, match=f"k is {k}, expected 1 to 200"):
            gallery.search_image(0, Filter(), k, "")


def test_images_are_served_by_number_and_small(gallery, pictures):
    with Image.open(io.BytesIO(gallery.picture(3, 64))) as image:
        assert image.format == "JPEG" and image.size == (40, 30)  # nothing is enlarged
        np.testing.assert_allclose(np.asarray(image)[5, 5], np.asarray(Image.open(pictures[3]))[5, 5], atol=4)
    with pytest.raises(ValueError, match="size is 5000, expected 64 to 1024"):
        gallery.picture(3, 5000)
    with pytest.raises(KeyError):
        gallery.picture(99, 64)


def test_hits_are_ranked_by_where_and_when_as_well(gallery):
    """By what the search does with the same camera and time, and by appearance alone where one is not known."""
    red = Image.new("RGB", (40, 30), (255, 0, 0))
    assert gallery.info()["where_and_when"] == ["distance"]
    plain = gallery.search_picture(red, None, "", Filter(), 12, "")
    placed = gallery.search_picture(red, None, "", Filter(), 12, "", Placing("distance", "2", "11", 9.0))
    asked = Whereabouts("distance", ["2"], ["11"], 9.0)
    features = gallery.extractor.extract([red], [-1]).features
    expected = gallery.index.search(features, 12, whereabouts=asked)[0]
    assert [hit["id"] for hit in placed["hits"]] == [hit.id for hit in expected] and placed["ranked_by"] == "distance"
    assert placed["hits"] != plain["hits"] and plain["ranked_by"] == "appearance"
    far = next(hit for hit in placed["hits"] if hit["id"] == 0)  # camera 1 is farthest, and time 0
    assert far["fits"] == 0 and far["rank"] == 12 and plain["hits"][0]["fits"] is None
    timeless = gallery.search_picture(red, None, "", Filter(), 12, "", Placing("distance", "2", "", 9.0))
    assert timeless["ranked_by"] == "appearance"
    assert [hit["id"] for hit in timeless["hits"]] == [hit["id"] for hit in plain["hits"]]
    own = gallery.search_image(4, Filter(), 12, "", Placing("distance", weight=9.0))
    asked = Whereabouts("distance", ["2"], ["4"], 9.0)
    expected = gallery.index.search(gallery.index.features([4]), 12, whereabouts=asked)[0]
    assert [hit["id"] for hit in own["hits"]] == [hit.id for hit in expected if hit.id != 4]
    with pytest.raises(ValueError, match="the query's camera is '7', whose distances"):
        gallery.search_picture(red, None, "", Filter(), 3, "", Placing("distance", "7", "1"))
    with pytest.raises(ValueError, match="the index knows no transition times"):
        gallery.search_image(4, Filter(), 3, "", Placing("transitions"))
