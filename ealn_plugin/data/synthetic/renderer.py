"""From polygons to a JPEG: projection, shading, the painter's loop and the camera's defects."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ealn_plugin.data.synthetic import cameras
from ealn_plugin.data.synthetic import mesh as m
from ealn_plugin.data.synthetic.cameras import Camera
from ealn_plugin.data.synthetic.mesh import Mesh

SHIFT = 4  # sub-pixel bits of the polygon corners
NOISE_SIZE = 384
STRETCH = 1.25  # how far a crop may be stretched in one direction to fill its square frame


@dataclasses.dataclass(frozen=True)
class Shot:
    """One picture of one vehicle: where the camera stands and the seed of everything that varies.

    Attributes:
        azimuth: degrees; 0 looks at the front, 90 at the left side, 180 at the rear, 270 at the right side.
        entropy: tuple of non-negative integers that seeds jitter, occlusion and noise.
    """

    azimuth: float
    entropy: tuple

    def turned(self) -> "Shot":
        """Return the same shot with the vehicle turned to the opposite view."""
        return dataclasses.replace(self, azimuth=(self.azimuth + 180.0) % 360.0)


def view_class(azimuth: float) -> int:
    """Return VeRi's 8-way class of an azimuth in degrees: 0 front, 1 rear, 2 left, 3 left-front, 4 left-rear, 5 right,
    6 right-front, 7 right-rear."""
    return (0, 3, 2, 4, 1, 7, 5, 6)[int(((azimuth + 22.5) % 360) // 45)]


def view_name(azimuth: float) -> str:
    """Return 'front', 'rear' or 'side' for an azimuth in degrees; the oblique classes count as front or rear."""
    return {0: "front", 3: "front", 6: "front", 1: "rear", 4: "rear", 7: "rear"}.get(view_class(azimuth), "side")


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where the camera is in the vehicle's frame: eye [3], axes [3, 3] (rows right, down, forward), light [3]."""

    eye: np.ndarray
    axes: np.ndarray
    light: np.ndarray


def place_camera(camera: Camera, azimuth: float, elevation: float, length: float, height: float) -> Pose:
    """Return the Pose of `camera` for a vehicle of a length and height in metres; angles in degrees."""
    turn, rise, roll = np.radians(azimuth), np.radians(elevation), np.radians(camera.roll)
    away = np.array([np.cos(rise) * np.cos(turn), np.cos(rise) * np.sin(turn), np.sin(rise)])
    right = np.array([-np.sin(turn), np.cos(turn), 0.0])
    down = np.cross(-away, right)
    axes = np.stack([right * np.cos(roll) + down * np.sin(roll), down * np.cos(roll) - right * np.sin(roll), -away])
    sun, lift = turn + np.radians(camera.sun_azimuth), np.radians(camera.sun_elevation)
    light = np.array([np.cos(lift) * np.cos(sun), np.cos(lift) * np.sin(sun), np.sin(lift)])
    eye = np.array([0, 0, height * 0.45]) + away * camera.distance * max(length, 4.0)
    return Pose(eye, axes.astype(np.float32), light.astype(np.float32))


def project(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Project points [n, 3] in metres to image-plane coordinates [n, 2], x right and y down, of unit focal length."""
    seen = (points - pose.eye.astype(np.float32)) @ pose.axes.T
    return seen[:, :2] / seen[:, 2:]


def shade(mesh: Mesh, pose: Pose, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Light every polygon.

    Returns:
        (colours [polygons, 3] BGR clipped to [0, 255], visible [polygons] bool: turned towards the camera).
    """
    to_eye = pose.eye.astype(np.float32) - mesh.centres
    to_eye /= np.sqrt(np.einsum("ij,ij->i", to_eye, to_eye))[:, None]
    facing = np.einsum("ij,ij->i", mesh.normals, to_eye)
    visible = facing > 0.01
    normals = mesh.shading_normals
    facing = np.clip(np.einsum("ij,ij->i", normals, to_eye), 0.0, 1.0)
    lambert = np.clip(normals @ pose.light, 0.0, 1.0)
    mirror = 2 * facing[:, None] * normals - to_eye
    level = camera.ambient * (0.72 + 0.36 * normals[:, 2]) + camera.sun * lambert
    gloss = np.array(_GLOSS, dtype=np.float32)[mesh.materials]
    rise = np.clip((mirror[:, 2] + 0.12) / 0.5, 0.0, 1.0)
    rise = rise * rise * (3 - 2 * rise)
    fresnel = gloss[:, 0] + gloss[:, 1] * (1 - facing) ** 3
    strength = camera.ambient + 0.5 * camera.sun
    around = np.array(camera.ground, dtype=np.float32) * 0.6 * (1 - rise)[:, None]
    around += np.array(camera.sky, dtype=np.float32) * rise[:, None]
    glint = np.clip(mirror @ pose.light, 0.0, 1.0) ** 24 * gloss[:, 2] * camera.sun * 255
    level = np.where(mesh.materials == m.INTERIOR, strength, level * 1.22)
    colours = mesh.colours * (level * (1 - 0.6 * fresnel))[:, None] + around * (fresnel * strength)[:, None]
    colours += glint[:, None]
    return _soften(colours, 190.0, 255.0), visible


# Per material: mirror reflection straight on, added at grazing angles, highlight of the sun.
_GLOSS = ((0.06, 0.4, 0.5), (0.16, 0.6, 0.6), (0.0, 0.04, 0.0), (0.16, 0.4, 0.8), (0.08, 0.0, 0.0))


def _soften(values, knee, limit):
    """Let values above `knee` approach `limit` as film does, so that white cars keep their shape; none below zero."""
    room = limit - knee
    above = np.maximum(values - knee, 0.0)
    return np.clip(values, 0.0, knee) + room * (1 - np.exp(-above / room))


def fit_frame(flat: np.ndarray, size: int, camera: Camera, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (scale [2], shift [2]) that puts projected points [n, 2] into a square frame like a detector's crop."""
    low, high = flat.min(axis=0), flat.max(axis=0)
    extent = high - low
    fill = np.clip(camera.fill + rng.uniform(-0.05, 0.03), 0.8, 0.99) * size
    scale = fill / extent
    scale = np.minimum(scale, scale.min() * STRETCH)
    slack = (size - extent * scale) / 2
    wander = rng.uniform(-0.7, 0.7, 2) * np.minimum(slack, 0.06 * size)
    return scale, size / 2 + wander - (low + high) / 2 * scale


def paint(
    canvas: np.ndarray, mesh: Mesh, screen: np.ndarray, colours: np.ndarray, visible: np.ndarray, pose: Pose
) -> None:
    """Paint the visible polygons, far to near, on canvas uint8 [size, size, 3] in place; screen [points, 2] pixels."""
    corners = np.round(screen * (1 << SHIFT)).astype(np.int32)
    order = mesh.orders[bool(pose.eye[0] > mesh.split), bool(pose.eye[1] >= 0)]
    order = order[visible[order]].tolist()
    fill, bounds, clips, colours = cv2.fillConvexPoly, mesh.bounds, mesh.clips, colours.tolist()
    for k in order:
        first, end = bounds[k]
        if clips[k] < 0:
            fill(canvas, corners[first:end], colours[k], 8, SHIFT)
        elif visible[clips[k]]:
            a, b = bounds[clips[k]]
            area, cut = cv2.intersectConvexConvex(screen[first:end], screen[a:b], handleNested=True)
            if area > 0.5 and cut is not None:
                fill(canvas, np.round(cut * (1 << SHIFT)).astype(np.int32), colours[k], 8, SHIFT)


def _cast_shadow(canvas: np.ndarray, mesh: Mesh, pose: Pose, camera: Camera, scale, shift):
    """Darken the road where the vehicle keeps the light away: a soft cast shadow and a darker one underneath."""
    size = canvas.shape[0]
    small = size // 4
    mask = np.full((small, small), 255, dtype=np.uint8)
    height = mesh.outline[:, 2:]
    for reach, depth in ((1.0, 0.5 * camera.sun / (camera.sun + 0.4) + 0.12), (0.12, 0.62)):
        fallen = mesh.outline - height * pose.light / max(0.35, float(pose.light[2])) * reach
        fallen[:, 2] = 0
        spots = (project(fallen, pose) * scale + shift) * (small / size)
        hull = cv2.convexHull(np.round(spots * (1 << SHIFT)).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 255 * (1 - depth), 8, SHIFT)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.8, small / 48))
    mask = cv2.resize(mask, (size, size), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(canvas, cv2.merge((mask, mask, mask)), scale=1 / 255)


@dataclasses.dataclass(frozen=True)
class Rendering:
    """A picture (uint8 [size, size, 3], BGR) and how it came about: the Pose, and scale [2] and shift [2] to pixels."""

    image: np.ndarray
    pose: Pose
    scale: np.ndarray
    shift: np.ndarray

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return where points [n, 3] in metres lie in the picture: float [n, 2], x and y in pixels."""
        return project(points, self.pose) * self.scale + self.shift

    def facing(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Return the cosine [n] between each normal [n, 3] and the line from its point [n, 3] to the camera."""
        to_eye = self.pose.eye - points
        return np.einsum("ij,ij->i", normals, to_eye) / np.linalg.norm(to_eye, axis=1)


def visible_key_points(mesh: Mesh, rendering: Rendering) -> np.ndarray:
    """Return the key points' pixels, int [20, 2]; (-1, -1) for those turned away or outside the frame."""
    spots = np.round(rendering.pixels(mesh.key_points)).astype(int)
    hidden = rendering.facing(mesh.key_points, mesh.key_normals) < 0.12
    hidden |= (spots < 0).any(axis=1) | (spots >= rendering.image.shape[0]).any(axis=1)
    spots[hidden] = -1
    return spots


class Renderer:
    """Renders a data set's pictures at one image size.

    Args:
        seed: the data set's seed.
        all_cameras: list of cameras.Camera.
        image_size: width and height of the pictures in pixels, at least 32.
    """

    BACKGROUNDS = 3  # scenes per camera

    def __init__(self, seed: int, all_cameras: Sequence[Camera], image_size: int) -> None:
        self.seed = seed
        self.cameras = all_cameras
        self.image_size = image_size
        self.canvas_size = image_size * (2 if image_size >= 96 else 3 if image_size >= 56 else 4)
        self._background = functools.lru_cache(maxsize=None)(self._draw_background)
        self._grain = functools.lru_cache(maxsize=None)(self._draw_grain)

    def _draw_background(self, camera: int, number: int):
        rng = np.random.default_rng((self.seed, 11, camera, number))
        return cameras.draw_background(self.cameras[camera], rng, int(self.canvas_size * 1.3))

    def _draw_grain(self, camera: int):
        rng = np.random.default_rng((self.seed, 12, camera))
        side = max(NOISE_SIZE, 2 * self.image_size)
        grain = rng.standard_normal((side, side, 3), dtype=np.float32) * self.cameras[camera].noise
        return np.round(grain).astype(np.int16)

    def render(self, mesh: Mesh, size: tuple[float, float], camera: int, shot: Shot, framed: Any = None) -> Rendering:
        """Render one picture.

        Args:
            mesh: mesh.Mesh of the vehicle.
            size: (length, height) of the vehicle in metres.
            camera: index into the list of cameras.
            shot: the Shot.
            framed: mesh.Mesh that the picture is cropped for, the same vehicle with other marks; None: `mesh`. Two such
                pictures of one shot differ in the marks alone.

        Returns:
            Rendering
        """
        rng = np.random.default_rng(shot.entropy)
        eye = self.cameras[camera]
        pose = place_camera(eye, shot.azimuth, eye.elevation + rng.uniform(-2.5, 2.5), *size)
        canvas = self._crop_background(camera, rng)
        flat = project(mesh.points, pose)
        outline = flat if framed is None else project(framed.points, pose)
        scale, shift = fit_frame(outline, self.canvas_size, eye, rng)
        scale, shift = scale.astype(np.float32), shift.astype(np.float32)
        canvas = _cast_shadow(canvas, mesh, pose, eye, scale, shift)
        colours, visible = shade(mesh, pose, eye)
        paint(canvas, mesh, flat * scale + shift, colours, visible, pose)
        if rng.random() < eye.occlusion:
            cameras.paint_occluder(canvas, eye, rng)
        shrink = self.image_size / self.canvas_size
        return Rendering(self._expose(canvas, camera, rng), pose, scale * shrink, shift * shrink)

    def _crop_background(self, camera: int, rng: np.random.Generator):
        scene = self._background(camera, int(rng.integers(self.BACKGROUNDS)))
        x, y = rng.integers(0, scene.shape[0] - self.canvas_size, 2)
        return scene[y : y + self.canvas_size, x : x + self.canvas_size]

    def _expose(self, canvas: np.ndarray, camera: int, rng: np.random.Generator):
        eye, size = self.cameras[camera], self.image_size
        picture = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
        picture = cv2.LUT(picture, _tone_curve(eye.gain, eye.gamma, eye.lift, round(rng.uniform(0.94, 1.06), 2)))
        blur = eye.blur * size / 128
        if blur > 0.15:
            picture = cv2.GaussianBlur(picture, (0, 0), blur)
        grain = self._grain(camera)
        x, y = rng.integers(0, grain.shape[0] - size, 2)
        return cv2.add(picture, grain[y : y + size, x : x + size], dtype=cv2.CV_8U)


@functools.lru_cache(maxsize=4096)
def _tone_curve(gain, gamma, lift, exposure):
    level = np.arange(256)[:, None] / 255.0
    curve = lift + (255 - lift) * _soften(level * np.array(gain) * exposure, 0.8, 1.05) ** gamma
    return np.clip(np.round(curve), 0, 255).astype(np.uint8)[:, None, :].reshape(1, 256, 3)
