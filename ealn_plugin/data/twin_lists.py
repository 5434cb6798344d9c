"""Twins of training images: the same vehicle, camera and light with the vehicle turned round.

Only rendered datasets have them, listed in train_twins.csv (image,twin) of the dataset's folder.
"""

import os

from ealn_plugin.data.lookalike_lists import advice
from ealn_plugin.data.pairs import read_pairs
from ealn_plugin.data.synthetic.training_twins import LIST


def training_twins_of(paths: list[str]) -> dict[str, list[str]]:
    """The twins of training images, by the images' own paths.

    Args:
        paths: of images in folders of rendered datasets, such as VeRi/image_train/NAME.jpg.
    Returns:
        {path as given: [path of its twin]}
    Raises:
        ValueError: an image has none; the sentence has the command that renders them, where one does.
    """
    known: dict[str, dict[str, str]] = {}
    choices: dict[str, list[str]] = {}
    for path in paths:
        folder = os.path.dirname(os.path.dirname(os.path.abspath(path)))
        if folder not in known:
            known[folder] = dict(read_pairs(os.path.join(folder, LIST), ["image", "twin"], "twin"))
        twin = known[folder].get(os.path.abspath(path))
        if twin is None:
            raise ValueError(
                f"training image {path!r} has no twin in {os.path.join(folder, LIST)!r}, expected the other view of "
                f"every training image; {advice(folder, '--twins')}"
            )
        choices[path] = [twin]
    return choices
