"""Traffic cameras: pose, light, colour, sharpness, what stands in the way and the road behind the vehicles."""

import dataclasses
from typing import Any

import cv2
import numpy as np

OCCLUDERS = ("pole", "car", "leaves")


@dataclasses.dataclass(frozen=True)
class Camera:
    """One fixed camera. Angles in degrees; sun azimuth is relative to the line from the vehicle to the camera.

    Attributes:
        number: counted from 1.
        heading: the azimuth under which it sees the traffic of the near lane (0: front of the vehicle).
        oncoming: the azimuth for the other lane.
        elevation, distance, roll: pose; distance in vehicle lengths.
        sun_azimuth, sun_elevation, sun, ambient: light; strengths in units of a normal exposure.
        sky, ground: BGR colours that polished surfaces mirror, [0, 255].
        gain, gamma, lift: colour cast per channel (BGR), tone curve and black level.
        blur, noise: standard deviations in pixels at 128 px and in grey levels.
        quality: JPEG quality.
        occlusion, occluder: how often something stands in front, and what.
        fill: how much of the frame the vehicle takes, in (0, 1].
    """

    number: int
    heading: float
    oncoming: float
    elevation: float
    distance: float
    roll: float
    sun_azimuth: float
    sun_elevation: float
    sun: float
    ambient: float
    sky: tuple
    ground: tuple
    gain: tuple
    gamma: float
    lift: float
    blur: float
    noise: float
    quality: int
    occlusion: float
    occluder: str
    fill: float


def draw_camera(number: int, rng: np.random.Generator) -> Camera:
    """Draw camera `number` (from 1) with the numpy Generator `rng`."""
    spread = (18.0, 42.0, 30.0, 55.0, 10.0, 48.0, 36.0, 80.0)[number % 8]  # every eighth camera looks from the side
    heading = float(spread * rng.choice([-1, 1]) + rng.uniform(-9, 9))
    if rng.random() < 0.5:
        heading += 180.0
    cloudy = rng.random() < 0.35
    warm = float(rng.uniform(-1, 1))
    cast = 1 + 0.07 * warm * np.array([-1, 0, 1]) + rng.uniform(-0.03, 0.03, 3)
    return Camera(
        number=number,
        heading=heading % 360,
        oncoming=(heading + 180 + float(rng.uniform(-14, 14))) % 360,
        elevation=float(rng.uniform(9, 30)),
        distance=float(rng.uniform(2.2, 5.5)),
        roll=float(rng.uniform(-2, 2)),
        sun_azimuth=float(rng.uniform(0, 360)),
        sun_elevation=float(rng.uniform(28, 70)),
        sun=float(rng.uniform(0.12, 0.25) if cloudy else rng.uniform(0.45, 0.75)),
        ambient=float(rng.uniform(0.62, 0.78) if cloudy else rng.uniform(0.42, 0.56)),
        sky=tuple((np.array([232, 222, 210]) + rng.uniform(-24, 8) + rng.uniform(-8, 8, 3)).tolist()),
        ground=tuple((np.array([94, 96, 98]) + rng.uniform(-20, 26) + rng.uniform(-5, 5, 3)).tolist()),
        gain=tuple((cast * rng.uniform(0.88, 1.1)).tolist()),
        gamma=float(rng.uniform(0.85, 1.2)),
        lift=float(rng.uniform(0, 22)),
        blur=float(rng.choice([0, 0.35, 0.5, 0.7, 0.9])),
        noise=float(rng.uniform(1.0, 5.0)),
        quality=int(rng.integers(62, 96)),
        occlusion=float(rng.choice([0.03, 0.08, 0.15, 0.25])),
        occluder=str(rng.choice(OCCLUDERS)),
        fill=float(rng.uniform(0.88, 0.97)),
    )


def draw_background(camera: Camera, rng: np.random.Generator, size: int) -> np.ndarray:
    """Paint the scene behind the vehicles of a camera.

    Args:
        camera: the Camera.
        rng: numpy Generator.
        size: width and height in pixels.

    Returns:
        uint8 [size, size, 3], BGR: road with markings, kerb, buildings, trees and sky.
    """
    road = np.array(camera.ground) * rng.uniform(0.95, 1.35)
    rows = np.linspace(0.85, 1.1, size)[:, None, None]
    scene = np.repeat(rows * road, size, axis=1).astype(np.float32)
    for cells in (size // 3, size // 16, 7):
        grain = rng.normal(0, 5 if cells > 20 else 7, (max(2, cells), max(2, cells))).astype(np.float32)
        scene += cv2.resize(grain, (size, size), interpolation=cv2.INTER_LINEAR)[:, :, None]
    scene = np.clip(scene, 0, 255).astype(np.uint8)
    horizon = int(size * np.interp(camera.elevation, (8, 22, 32), (0.4, 0.2, 0.02)))
    _paint_road(scene, horizon, rng)
    if horizon > 4:
        _paint_skyline(scene, horizon, camera, rng)
    return cv2.GaussianBlur(scene, (0, 0), max(0.6, size / 220))


def _paint_road(scene, horizon, rng: np.random.Generator) -> None:
    size = scene.shape[0]
    vanish = np.array([rng.uniform(-0.3, 1.3) * size, horizon - rng.uniform(0.05, 0.6) * size])

    def stripe(foot, width, start, end, colour: Any) -> None:
        feet = np.array([(foot - width, size), (foot + width, size)], dtype=float)
        corners = [
            vanish + (point - vanish) * share
            for point, share in ((feet[0], end), (feet[1], end), (feet[1], start), (feet[0], start))
        ]
        cv2.fillConvexPoly(scene, np.round(corners).astype(np.int32), colour)

    pale = rng.uniform(150, 215)
    white = (pale, pale, pale) if rng.random() < 0.7 else (pale * 0.45, pale * 0.8, pale)
    side = rng.choice([-1, 1])
    kerb = size * (0.5 + side * rng.uniform(0.55, 0.95))
    paving = tuple((np.array([140, 148, 152]) * rng.uniform(0.75, 1.1)).tolist())
    stripe(kerb + side * size * 0.62, size * 0.55, 0.0, 1.0, paving)
    stripe(kerb, size * 0.03, 0.0, 1.0, (175, 178, 180))
    for lane in (-0.45, 0.35, 1.05):
        foot = size * (0.5 + lane + rng.uniform(-0.1, 0.1))
        if rng.random() < 0.45:
            stripe(foot, size * 0.014, 0.05, 1.0, white)
        else:
            for start in np.arange(0.1, 1.0, 0.22):
                stripe(foot, size * 0.014, start, start + 0.11, white)


def _paint_skyline(scene, horizon, camera: Camera, rng: np.random.Generator) -> None:
    size = scene.shape[1]
    sky = np.linspace(1.05, 0.92, horizon)[:, None, None] * np.array(camera.sky)
    scene[:horizon] = np.clip(sky, 0, 255).astype(np.uint8)
    x = -10
    while x < size:
        width = int(rng.uniform(0.1, 0.35) * size)
        top = int(horizon * rng.uniform(-0.3, 0.75))
        wall = np.array([128, 134, 142]) * rng.uniform(0.6, 1.25) + rng.uniform(-18, 18, 3)
        if rng.random() < 0.7:
            cv2.rectangle(scene, (x, top), (x + width, horizon), np.clip(wall, 0, 255).tolist(), -1)
            step = max(5, size // 28)
            for wx in range(x + step // 2, x + width - step // 2, step):
                for wy in range(max(0, top) + step // 2, horizon - step // 2, step):
                    cv2.rectangle(scene, (wx, wy), (wx + step // 2, wy + step // 2), (wall * 0.55).tolist(), -1)
        x += int(width * rng.uniform(0.8, 1.3)) + 1
    for _ in range(int(rng.integers(2, 7))):
        middle, radius = rng.uniform(0, size), rng.uniform(0.03, 0.09) * size
        green = np.array([52, 98, 70]) * rng.uniform(0.6, 1.15)
        for _ in range(12):
            spot = (int(middle + rng.normal(0, radius)), int(horizon - radius * rng.uniform(0.1, 1.6)))
            cv2.circle(
                scene, spot, max(1, int(radius * rng.uniform(0.3, 0.7))), (green * rng.uniform(0.75, 1.3)).tolist(), -1
            )
    cv2.rectangle(scene, (0, horizon - 2), (size, horizon + max(1, size // 90)), (112, 116, 120), -1)


def paint_occluder(canvas: np.ndarray, camera: Camera, rng: np.random.Generator) -> None:
    """Paint what stands between the camera and the vehicle onto `canvas` (uint8 [size, size, 3]), in place."""
    size = canvas.shape[0]
    if camera.occluder == "pole":
        x, width = rng.uniform(0.08, 0.92) * size, rng.uniform(0.025, 0.055) * size
        lean = rng.uniform(-0.03, 0.03) * size
        grey = rng.uniform(70, 150)
        for share, shade in ((1.0, 0.75), (0.5, 1.1)):
            corners = [
                (x - width * share + lean, 0),
                (x + width * share * 0.6 + lean, 0),
                (x + width * share * 0.6, size),
                (x - width * share, size),
            ]
            cv2.fillConvexPoly(canvas, np.round(corners).astype(np.int32), (grey * shade,) * 3)
        return
    side = rng.random() < 0.5
    if camera.occluder == "car":
        reach, height = rng.uniform(0.12, 0.28) * size, rng.uniform(0.16, 0.34) * size
        tint = rng.uniform(25, 200) * rng.uniform(0.8, 1.2, 3)
        corners = np.array(
            [
                (0, size - height),
                (reach * 0.6, size - height * 0.92),
                (reach, size - height * 0.45),
                (reach, size),
                (0, size),
            ]
        )
        glass = np.array(
            [
                (0, size - height * 0.9),
                (reach * 0.5, size - height * 0.82),
                (reach * 0.75, size - height * 0.52),
                (0, size - height * 0.55),
            ]
        )
        for shape, colour in ((corners, tint), (glass, tint * 0.2 + 20)):
            shape = np.array([(size - x, y) for x, y in shape]) if side else shape
            cv2.fillConvexPoly(canvas, np.round(shape).astype(np.int32), np.clip(colour, 0, 255).tolist())
        return
    corner = size if side else 0
    for _ in range(26):
        spot = (int(abs(corner - abs(rng.normal(0, 0.16)) * size)), int(abs(rng.normal(0, 0.13)) * size))
        axes = (max(1, int(rng.uniform(0.014, 0.035) * size)), max(1, int(rng.uniform(0.008, 0.016) * size)))
        colour = (np.array([46, 96, 62]) * rng.uniform(0.6, 1.4)).tolist()
        cv2.ellipse(canvas, spot, axes, rng.uniform(0, 180), 0, 360, colour, -1)
