import dataclasses

import numpy as np
import pytest

from ealn_plugin.data.synthetic import cameras, population, presets, renderer

PRESET = presets.Preset(
    train_vehicles=6,
    train_images=30,
    train_tracks=14,
    test_vehicles=4,
    test_images=16,
    test_tracks=9,
    cameras=4,
    models=7,
    image_size=48,
)


@pytest.fixture(scope="module")
def drawn():
    return population.draw_population(PRESET, 5)


@pytest.mark.parametrize(
    "azimuth, code, name",
    [
        (0, 0, "front"),
        (45, 3, "front"),
        (90, 2, "side"),
        (135, 4, "rear"),
        (180, 1, "rear"),
        (225, 7, "rear"),
        (270, 5, "side"),
        (315, 6, "front"),
        (359, 0, "front"),
        (22.4, 0, "front"),
        (22.6, 3, "front"),
    ],
)
def test_view_classes(azimuth, code, name):
    assert renderer.view_class(azimuth) == code
    assert renderer.view_name(azimuth) == name


def test_turned_shot_is_the_opposite_view_and_a_twin_of_a_twin_the_shot_itself():
    opposite = {0: 1, 1: 0, 2: 5, 5: 2, 3: 7, 7: 3, 4: 6, 6: 4}
    for azimuth in range(0, 360, 15):
        shot = renderer.Shot(float(azimuth), (1, 2))
        assert shot.turned().azimuth == pytest.approx((azimuth + 180) % 360)
        assert shot.turned().turned() == shot
        assert renderer.view_class(shot.turned().azimuth) == opposite[renderer.view_class(azimuth)]


def test_camera_ahead_sees_the_vehicles_left_on_the_right():
    camera = cameras.draw_camera(1, np.random.default_rng(0))
    camera = dataclasses.replace(camera, roll=0.0)
    pose = renderer.place_camera(camera, 0.0, 15.0, 4.5, 1.5)
    spots = renderer.project(np.array([(0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, 0)], dtype=np.float32), pose)
    assert spots[0, 0] > 0 > spots[1, 0]
    assert spots[2, 1] < spots[3, 1]  # y grows downwards
    assert np.allclose(pose.axes @ pose.axes.T, np.eye(3), atol=1e-5)


def test_light_stays_with_the_camera_when_the_vehicle_turns():
    camera = cameras.draw_camera(2, np.random.default_rng(2))
    poses = [renderer.place_camera(camera, azimuth, 15.0, 4.5, 1.5) for azimuth in (20.0, 200.0)]
    assert poses[0].axes @ poses[0].light == pytest.approx(poses[1].axes @ poses[1].light, abs=1e-5)


@pytest.mark.parametrize("size", [32, 48, 97, 128])
def test_render_fills_the_frame(drawn, size):
    studio = renderer.Renderer(5, drawn.cameras, size)
    mesh, extent = population.build_mesh(drawn.identities[0])
    rendering = studio.render(mesh, extent, 0, renderer.Shot(30.0, (5, 1)))
    assert rendering.image.shape == (size, size, 3) and rendering.image.dtype == np.uint8
    spots = rendering.pixels(mesh.points)
    assert spots.min() > -2 and spots.max() < size + 2
    assert (np.ptp(spots, axis=0) > 0.5 * size).any() and np.ptp(spots, axis=0).max() > 0.75 * size


def test_rendering_twice_gives_the_same_pixels_and_another_seed_does_not(drawn):
    mesh, extent = population.build_mesh(drawn.identities[1])
    images = [
        renderer.Renderer(5, drawn.cameras, 64).render(mesh, extent, 1, renderer.Shot(200.0, (5, k))).image
        for k in (1, 1, 2)
    ]
    assert (images[0] == images[1]).all()
    assert (images[0] != images[2]).any()


def test_key_points_belong_to_the_visible_side(drawn):
    studio = renderer.Renderer(5, drawn.cameras, 96)
    mesh, extent = population.build_mesh(drawn.identities[2])
    front = renderer.visible_key_points(mesh, studio.render(mesh, extent, 0, renderer.Shot(0.0, (5, 3))))
    rear = renderer.visible_key_points(mesh, studio.render(mesh, extent, 0, renderer.Shot(180.0, (5, 3))))
    assert (front[9] >= 0).all() and (rear[9] == -1).all()  # the front plate
    assert (rear[19] >= 0).all() and (front[19] == -1).all()  # the rear plate
    assert front[7, 0] > front[6, 0]  # headlights
    assert ((front >= -1) & (front < 96)).all()


@pytest.mark.parametrize("occluder", cameras.OCCLUDERS)
def test_occluders_cover_a_part_of_the_picture(occluder):
    camera = dataclasses.replace(cameras.draw_camera(1, np.random.default_rng(0)), occluder=occluder)
    canvas = np.full((128, 128, 3), 255, dtype=np.uint8)
    cameras.paint_occluder(canvas, camera, np.random.default_rng(3))
    covered = (canvas != 255).any(axis=2).mean()
    assert 0.005 < covered < 0.4
