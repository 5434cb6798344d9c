"""Vehicles that never were: one of the data set with other marks, what a generator of hard negatives should make.

A lookalike has the model, the colour and the paint of its vehicle; rendered in one of its shots it gives the picture
that the camera would have taken of another vehicle: a true hard negative.
"""

import dataclasses

import numpy as np

from ealn_plugin.data.synthetic import marks, population, windows

ALL_OTHER, ONE_PER_FACE = "all_other", "one_per_face"
KINDS = (ALL_OTHER, ONE_PER_FACE)
LOOKALIKES = 8  # the number of their seed sequences, behind those of population
FACES = ("front", "rear", "left", "right", "any")
REMOVED = 0.5  # chance that a changed mark is gone and not another one


def draw_lookalike(identity: population.Identity, kind: str, number: int, seed: int) -> population.Identity:
    """Draw a vehicle like another one but for its marks.

    Args:
        identity: population.Identity.
        kind: 'all_other': marks drawn anew, different from the vehicle's from the front and from behind;
            'one_per_face': on every face one mark is gone or another one; a side without marks gets one, a roof none.
        number: which of the vehicle's lookalikes of this kind, from 0.
        seed: the data set's seed.

    Returns:
        population.Identity with the vehicle's own number.

    Raises:
        ValueError: another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, but it must be one of {', '.join(KINDS)}: give one of them.")
    rng = np.random.default_rng((seed, LOOKALIKES, identity.number, KINDS.index(kind), number))
    window = windows.has_rear_window(identity.model)
    change = _all_other if kind == ALL_OTHER else _one_per_face
    return dataclasses.replace(identity, marks=change(identity.marks, window, rng))


def without_marks(identity: population.Identity) -> population.Identity:
    """Return the population.Identity without its marks: what all vehicles of its model and colour share."""
    return dataclasses.replace(identity, marks=())


def _all_other(own, window, rng):
    other = marks.draw_marks(window, rng)
    while not marks.distinct(other, [own]):
        other = marks.draw_marks(window, rng)
    return other


def _one_per_face(own, window, rng):
    changed = []
    for face in FACES:
        there = [mark for mark in own if mark.face == face]
        if not there:
            changed += [marks.draw_mark(face, window, rng)] if face in ("left", "right") else []
            continue
        chosen = int(rng.integers(len(there)))
        rest = there[:chosen] + there[chosen + 1 :]
        if rng.random() >= REMOVED:
            rest.insert(chosen, _another(there, chosen, window, rng))
        changed += rest
    return tuple(changed)


def _another(there, chosen, window, rng):
    """Draw a mark for the place of there[chosen] that no mark of the face equals; kinds are on a face once."""
    before = there[chosen]
    kinds = {mark.kind for mark in there if mark is not before}
    mark = marks.draw_mark(before.face, window, rng)
    while mark.kind in kinds or mark.signature() == before.signature():
        mark = marks.draw_mark(before.face, window, rng)
    return mark
