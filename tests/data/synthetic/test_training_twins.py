"""ealn_plugin/data/synthetic/training_twins.py: which pictures and bytes, and what is left of a stopped run."""

import csv

import cv2
import numpy as np
import pytest

from ealn_plugin.data import synthetic
from ealn_plugin.data.synthetic import population, presets, renderer, training_twins
from tests.helpers.standins import render_small


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def before_and_after(tmp_path_factory):
    folder = render_small(tmp_path_factory.mktemp("twins")) / "VeRi"
    before = contents(folder)
    synthetic.add_training_twins(folder, 1, progress=False)
    return folder, before


def test_every_training_image_has_its_twin_and_nothing_else_changes(before_and_after):
    folder, before = before_and_after
    after = contents(folder)
    assert {name: after[name] for name in before} == before and synthetic.has_training_twins(folder)
    with open(folder / training_twins.LIST, newline="", encoding="utf-8") as file:
        pairs = [(row["image"], row["twin"]) for row in csv.DictReader(file)]
    assert sorted(image for image, _ in pairs) == sorted(name for name in before if name.startswith("image_train/"))
    assert {twin for _, twin in pairs} | {training_twins.LIST, training_twins.MARKER} == after.keys() - before.keys()


def test_a_twin_is_the_shot_with_the_vehicle_turned(before_and_after):
    folder, _ = before_and_after
    marker = synthetic.read_marker(folder)["parameters"]
    drawn = population.draw_population(presets.Preset(**marker["preset"]), marker["seed"], False)
    row = next(index for index, identity in enumerate(drawn.identities) if identity.split == "train")
    identity, picture = drawn.identities[row], drawn.pictures[row][0]
    name = synthetic.writer.layouts.LAYOUTS["veri776"].names(drawn)[row][0][0].partition("/")[2]
    painter = renderer.Renderer(marker["seed"], drawn.cameras, marker["image_size"])
    mesh, size = population.build_mesh(identity)
    image = painter.render(mesh, size, picture.camera, picture.shot.turned()).image
    quality = drawn.cameras[picture.camera].quality
    expected = cv2.imdecode(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))[1], cv2.IMREAD_COLOR)
    assert np.array_equal(cv2.imread(str(folder / training_twins.FOLDER / name)), expected)


def test_the_same_bytes_again_also_behind_a_stop(before_and_after, monkeypatch):
    folder, _ = before_and_after
    after = contents(folder)
    synthetic.add_training_twins(folder, 1, progress=False)  # finished: nothing happens
    (folder / training_twins.MARKER).unlink()

    def stopped(*_):
        raise OSError(28, "No space left on device")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(training_twins, "render_tasks", stopped)
        with pytest.raises(RuntimeError, match="cannot write twins into .*No space left"):
            synthetic.add_training_twins(folder, 1, progress=False)
    assert not synthetic.has_training_twins(folder) and not list(folder.parent.glob(".VeRi.partial-*"))
    synthetic.add_training_twins(folder, 1, progress=False)
    assert contents(folder) == after


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="is no finished rendered data set"):
        synthetic.add_training_twins(tmp_path)
    with pytest.raises(ValueError, match="processes is 0"):
        synthetic.add_training_twins(tmp_path, 0)
    (tmp_path / training_twins.MARKER).write_text("[]")
    assert not synthetic.has_training_twins(tmp_path)
