"""Small marks that tell two vehicles of the same model and colour apart: their kinds and the draw."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

COLOURS = {
    "red": (40, 36, 214),
    "yellow": (40, 214, 246),
    "white": (246, 246, 244),
    "blue": (206, 110, 36),
    "green": (74, 172, 52),
    "orange": (30, 132, 244),
    "pink": (176, 112, 240),
    "black": (26, 26, 26),
}
BRIGHT = ("red", "yellow", "white", "blue", "green", "orange", "pink")

# Where a kind of mark can be seen from; 'any' is the roof.
FRONT_KINDS = (
    "windscreen_sticker",
    "windscreen_sticker",
    "pendant",
    "pendant",
    "tissue_box",
    "ornament",
    "sun_strip",
    "bonnet_decal",
    "front_scratch",
    "headlight_damage",
    "front_badge",
)
REAR_KINDS = (
    "rear_window_sticker",
    "rear_window_sticker",
    "rear_tissue_box",
    "rear_ornament",
    "rear_curtain",
    "boot_decal",
    "boot_decal",
    "rear_scratch",
    "tail_light_damage",
    "bumper_sticker",
)
SIDE_KINDS = ("door_decal", "door_stripe", "door_scratch", "missing_hubcap", "window_sticker")
ROOF_KINDS = ("roof_rack", "roof_box", "roof_lamp", "antenna")
NEEDS_REAR_WINDOW = ("rear_window_sticker", "rear_tissue_box", "rear_ornament", "rear_curtain")


@dataclasses.dataclass(frozen=True)
class Mark:
    """One mark.

    Attributes:
        kind: one of the kinds above.
        face: 'front', 'rear', 'left', 'right' or 'any': from where it can be seen.
        u, v: position on the face, each in [0, 1]; u from the vehicle's right to its left (front to rear on a side).
        size: factor on the kind's usual size, about 1.
        colour: name in COLOURS.
        variant: which of the kind's shapes, 0 to 2.
    """

    kind: str
    face: str
    u: float
    v: float
    size: float
    colour: str
    variant: int

    def signature(self) -> tuple[Any, ...]:
        """Return what a careful look can tell: kind, face, colour, shape and the coarse place."""
        return self.kind, self.face, self.colour, self.variant, round(self.u * 2), round(self.v * 2)

    def __str__(self) -> str:
        return f"{self.kind}@{self.face}:{self.colour}"


def draw_mark(face: str, has_rear_window: bool, rng: np.random.Generator) -> Mark:
    """Draw a mark for a face with the numpy Generator `rng`."""
    kinds = {"front": FRONT_KINDS, "rear": REAR_KINDS, "any": ROOF_KINDS}.get(face, SIDE_KINDS)
    if face == "rear" and not has_rear_window:
        kinds = tuple(kind for kind in kinds if kind not in NEEDS_REAR_WINDOW)
    kind = str(rng.choice(kinds))
    colour = str(rng.choice(BRIGHT)) if kind not in ("roof_rack", "antenna") else "black"
    return Mark(
        kind,
        face,
        float(rng.random()),
        float(rng.random()),
        float(rng.uniform(0.85, 1.3)),
        colour,
        int(rng.integers(3)),
    )


def draw_marks(has_rear_window: bool, rng: np.random.Generator) -> tuple[Mark, ...]:
    """Draw an identity's marks: two or three each for front and rear, one a side mostly, sometimes one on the roof."""
    faces = ["front"] * int(rng.integers(2, 4)) + ["rear"] * int(rng.integers(2, 4))
    faces += [side for side in ("left", "right") if rng.random() < 0.65]
    faces += ["any"] if rng.random() < 0.35 else []
    marks, kinds = [], set()
    for face in faces:
        mark = draw_mark(face, has_rear_window, rng)
        while (mark.kind, face) in kinds:
            mark = draw_mark(face, has_rear_window, rng)
        kinds.add((mark.kind, face))
        marks.append(mark)
    return tuple(marks)


def distinct(marks: Sequence[Mark], others: Iterable[Sequence[Mark]]) -> bool:
    """Return whether `marks` differ from each of `others` in two signatures or more, from the front and from behind."""
    for other in others:
        for face in ("front", "rear"):
            one = {mark.signature() for mark in marks if mark.face == face}
            two = {mark.signature() for mark in other if mark.face == face}
            if len(one ^ two) < 2:
                return False
    return True
