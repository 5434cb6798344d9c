import numpy as np
import pytest

from ealn_plugin.data.synthetic import bodywork, mesh, shapes


@pytest.mark.parametrize("kind", shapes.TYPES)
def test_models_stay_inside_their_size(kind):
    for number in range(3):
        model = shapes.draw_model(number, kind, np.random.default_rng((7, number)))
        vehicle = bodywork.assemble(model)
        built = vehicle.finish(vehicle.builder.copy(), (100, 100, 100))
        low, high = built.points.min(axis=0), built.points.max(axis=0)
        assert np.isfinite(built.points).all()
        assert high[0] - low[0] == pytest.approx(model.size["length"], abs=0.35)
        assert model.size["width"] <= high[1] - low[1] < model.size["width"] + 0.6  # mirrors stick out
        assert low[2] == pytest.approx(0, abs=0.02)
        assert np.allclose(np.linalg.norm(built.normals, axis=1), 1, atol=1e-3)


def test_hull_is_symmetric_and_meets_its_ends():
    model = shapes.draw_model(1, "sedan", np.random.default_rng(1))
    hull = shapes.body_hull(model)
    left, right = hull.front_point(0.6, 0.5), hull.front_point(-0.6, 0.5)
    assert left == pytest.approx(right * (1, -1, 1))
    assert hull.side_point(0.3, 0.5, 1)[0] == pytest.approx(0.3)
    assert hull.front_point(0, 0.4)[0] == pytest.approx(hull.front - 0.01)
    assert (hull.top_point(0.2, 0.0) - hull.top_point(0.2, 0.9))[2] > 0


def test_equal_models_share_their_polygons_and_copies_do_not_change_them():
    model = shapes.draw_model(4, "van", np.random.default_rng(4))
    again = shapes.draw_model(4, "van", np.random.default_rng(4))
    vehicle = bodywork.assemble(model)
    assert bodywork.assemble(again) is vehicle
    before = len(vehicle.builder.polygons)
    vehicle.builder.copy().add_box((0, 0, 3), (1, 1, 1), (1, 2, 3), mesh.MATTE, mesh.ROOF)
    assert len(vehicle.builder.polygons) == before


def test_normals_point_outwards():
    square = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], dtype=float)
    assert mesh.newell_normal(square) == pytest.approx([0, 0, 1])
    builder = mesh.MeshBuilder()
    builder.add(square, (0, 0, 0), mesh.MATTE, mesh.BODY, (0, 0, -1))
    assert builder.normals[0] == pytest.approx([0, 0, -1])
    builder.add_box((0, 0, 1), (2, 2, 2), None, mesh.PAINT, mesh.BODY, bottom=True)
    centres = np.array([polygon.mean(axis=0) for polygon in builder.polygons[1:]])
    assert ((centres - (0, 0, 1)) * builder.normals[1:]).sum(axis=1) == pytest.approx(np.ones(6))


def test_order_puts_the_far_mirror_first_and_the_rear_part_behind():
    builder = mesh.MeshBuilder()
    for y in (1.0, -1.0):
        builder.add_box((0, y, 1), (0.1, 0.1, 0.1), None, mesh.PAINT, mesh.NEAR_PARTS, far_stage=mesh.FAR_PARTS)
    builder.rear_part = True
    cargo = builder.add(np.eye(3), None, mesh.PAINT, mesh.BODY, None)
    built = builder.build((1, 2, 3), np.zeros((1, 3)), np.zeros((20, 3)), np.ones((20, 3)))
    from_ahead_left, from_behind_left = built.orders[True, True].tolist(), built.orders[False, True].tolist()
    assert from_ahead_left[0] == cargo and from_behind_left[-1] == cargo
    assert set(from_ahead_left[1:6]) == set(range(5, 10))  # the right mirror is far
    assert built.colours[0] == pytest.approx([1, 2, 3])
