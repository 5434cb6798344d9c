import collections
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.data.synthetic import marks, population, presets, renderer, shapes


@pytest.fixture(scope="module")
def tiny():
    return population.draw_population(presets.PRESETS["tiny"], 0)


def _groups(drawn, split):
    groups = collections.defaultdict(list)
    for identity in drawn.identities:
        if identity.split == split:
            groups[identity.model.number, identity.colour].append(identity)
    return groups


@pytest.mark.parametrize("split", ["train", "test"])
def test_most_identities_share_model_and_colour(tiny, split):
    groups = _groups(tiny, split)
    total = sum(map(len, groups.values()))
    shared = sum(len(group) for group in groups.values() if len(group) > 1)
    assert shared / total > 0.5
    assert max(map(len, groups.values())) <= 6
    assert all(len({identity.paint for identity in group}) == 1 for group in groups.values())


@pytest.mark.parametrize("split", ["train", "test"])
def test_look_alikes_differ_from_the_front_and_from_behind(tiny, split):
    for group in _groups(tiny, split).values():
        for k, identity in enumerate(group):
            assert marks.distinct(identity.marks, [other.marks for other in group[:k]])
            faces = collections.Counter(mark.face for mark in identity.marks)
            assert faces["front"] >= 2 and faces["rear"] >= 2


def test_counts_and_views_of_the_presets(tiny):
    preset = presets.PRESETS["tiny"]
    counts = collections.Counter(i.split for i in tiny.identities)
    assert counts == {"train": preset.train_vehicles, "test": preset.test_vehicles}
    assert [identity.number for identity in tiny.identities] == list(range(1, 137))
    images = {
        split: sum(len(tiny.pictures[i.number - 1]) for i in tiny.identities if i.split == split) for split in counts
    }
    assert images == {"train": preset.train_images, "test": preset.test_images}
    views = collections.Counter(renderer.view_name(p.shot.azimuth) for rows in tiny.pictures for p in rows)
    assert (views["front"] + views["rear"]) / views.total() >= 0.6
    assert min(views["front"], views["rear"]) / views.total() > 0.3
    both = [len({renderer.view_name(p.shot.azimuth) for p in rows} & {"front", "rear"}) == 2 for rows in tiny.pictures]
    assert np.mean(both) > 0.9


def test_every_query_has_a_match_in_another_camera(tiny):
    for identity in tiny.identities:
        rows = tiny.pictures[identity.number - 1]
        seen = {p.camera for p in rows}
        assert len(seen) >= 2
        assert sorted(p.camera for p in rows if p.query) == sorted(seen)  # one per vehicle and camera


def test_full_preset_has_the_counts_of_veri776():
    full = presets.PRESETS["full"]
    assert (full.train_vehicles, full.train_images, full.cameras) == (576, 37778, 20)
    assert (full.test_vehicles, full.test_images, full.test_tracks) == (200, 11579, 1678)


def test_seed_decides_everything():
    preset = presets.Preset(5, 20, 11, 3, 9, 6, 4, 7, 32)
    first, again, other = (population.draw_population(preset, seed) for seed in (3, 3, 4))
    assert first.pictures == again.pictures and first.cameras == again.cameras
    assert [i.marks for i in first.identities] == [i.marks for i in again.identities]
    assert [i.marks for i in first.identities] != [i.marks for i in other.identities]


def test_front_and_rear_only():
    preset = presets.Preset(5, 40, 15, 3, 20, 8, 4, 7, 32)
    drawn = population.draw_population(preset, 3, ends_only=True)
    views = {renderer.view_name(p.shot.azimuth) for rows in drawn.pictures for p in rows}
    assert views == {"front", "rear"}


def test_impossible_presets_are_refused():
    with pytest.raises(ValueError, match="two tracks"):
        dataclasses.replace(presets.PRESETS["tiny"], test_tracks=50)
    with pytest.raises(ValueError, match="models"):
        dataclasses.replace(presets.PRESETS["tiny"], models=0)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(0, 3), st.integers(0, 12), st.integers(0, 2**32))
def test_spread_adds_up_and_stays_in_range(parts, low, extra, seed):
    rng = np.random.default_rng(seed)
    total = int(rng.integers(low * parts, (low + extra) * parts + 1))
    shares = population.spread(total, parts, low, low + extra, rng)
    assert sum(shares) == total and len(shares) == parts
    assert all(low <= share <= low + extra for share in shares)


def test_every_kind_of_mark_changes_the_picture_on_its_side():
    cameras_ = population.draw_population(presets.PRESETS["tiny"], 0).cameras
    clear = [dataclasses.replace(cameras_[0], occlusion=0.0)]
    studio = renderer.Renderer(0, clear, 96)
    azimuths = {"front": 0.0, "rear": 180.0, "left": 90.0, "right": 270.0, "any": 180.0}
    model = shapes.draw_model(2, "hatchback", np.random.default_rng(2))
    plain = population.Identity(1, "train", model, "blue", (150, 84, 34), ())
    mesh, extent = population.build_mesh(plain)
    for face, kinds in (
        ("front", marks.FRONT_KINDS),
        ("rear", marks.REAR_KINDS),
        ("left", marks.SIDE_KINDS),
        ("right", marks.SIDE_KINDS),
        ("any", marks.ROOF_KINDS),
    ):
        shot = renderer.Shot(azimuths[face], (0, 1))
        before = studio.render(mesh, extent, 0, shot)
        for kind in sorted(set(kinds)):
            marked = dataclasses.replace(plain, marks=(marks.Mark(kind, face, 0.7, 0.6, 1.0, "yellow", 1),))
            after = studio.render(population.build_mesh(marked)[0], extent, 0, shot)
            changed = (np.abs(after.image.astype(int) - before.image).max(axis=2) > 24).sum()
            assert changed >= 8, f"{kind} on the {face} changes only {changed} pixels"


def test_marks_of_one_end_are_invisible_from_the_other():
    cameras_ = population.draw_population(presets.PRESETS["tiny"], 0).cameras
    studio = renderer.Renderer(0, cameras_, 64)
    model = shapes.draw_model(3, "suv", np.random.default_rng(3))
    plain = population.Identity(1, "train", model, "blue", (150, 84, 34), ())
    kinds = ("windscreen_sticker", "pendant", "tissue_box", "headlight_damage")
    own = tuple(marks.Mark(kind, "front", 0.7, 0.6, 1.0, "red", 1) for kind in kinds)
    marked = dataclasses.replace(plain, marks=own)
    images = [
        studio.render(*population.build_mesh(one), 0, renderer.Shot(180.0, (0, 1))).image for one in (plain, marked)
    ]
    assert (images[0] == images[1]).all()
