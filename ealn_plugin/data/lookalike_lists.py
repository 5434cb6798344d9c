"""True hard negatives: pictures of a training image's shot in which the vehicle bears other marks.

Only rendered datasets have them, listed in lookalikes.csv (image,lookalike,kind) of the dataset's folder.
"""

import os
import shlex
from typing import Any

from ealn_plugin.data.pairs import read_pairs
from ealn_plugin.data.synthetic import PRESETS, read_marker
from ealn_plugin.system.entrances import command

LOOKALIKES = "lookalikes.csv"
_HEADER = ["image", "lookalike", "kind"]
_USUAL = 2  # one of each kind


def read_lookalikes(folder: str) -> dict[str, list[str]]:
    """The lookalikes of a rendered dataset's training images.

    Args:
        folder: the dataset's folder with its lookalikes.csv, paths relative to it.
    Returns:
        {absolute path of an image: absolute paths of its lookalikes}; empty where there is no lookalikes.csv.
    Raises:
        ValueError: the file has another header, or a line that does not name two files.
    """
    found = {}
    for image, lookalike in read_pairs(os.path.join(folder, LOOKALIKES), _HEADER, "lookalike"):
        found.setdefault(image, []).append(lookalike)
    return found


def lookalikes_of(paths: list[str]) -> dict[str, list[str]]:
    """The lookalikes of training images, by the images' own paths.

    Args:
        paths: of images in folders of rendered datasets, such as VeRi/image_train/NAME.jpg.
    Returns:
        {path as given: paths of its lookalikes, at least one}
    Raises:
        ValueError: an image has none; the sentence has the command that renders them, where one does.
    """
    known: dict[str, dict[str, list[str]]] = {}
    choices: dict[str, list[str]] = {}
    for path in paths:
        folder = os.path.dirname(os.path.dirname(os.path.abspath(path)))
        if folder not in known:
            known[folder] = read_lookalikes(folder)
        choices[path] = known[folder].get(os.path.abspath(path), [])
        if not choices[path]:
            raise ValueError(
                f"training image {path!r} has no lookalikes in {os.path.join(folder, LOOKALIKES)!r}, expected pictures "
                f"with other marks of every training image; {advice(folder, '--lookalikes', _USUAL)}"
            )
    return choices


def advice(folder: str, *flags: Any) -> str:
    """What to do about pictures that a dataset lacks, by the flags of make-synthetic that render them."""
    marker = read_marker(folder)
    if marker is None:
        return "only rendered datasets can have them, use another ealn.scheme"
    parameters = marker["parameters"]
    name = next((name for name, preset in PRESETS.items() if vars(preset) == parameters["preset"]), None)
    if name is None:
        count = "".join(f", {flag}" for flag in flags[1:])
        function = {"--lookalikes": "add_companions", "--twins": "add_training_twins"}[flags[0]]
        return f"render them with ealn_plugin.data.synthetic.{function}({folder!r}{count})"
    words = [*command("make-synthetic").split(), "--root", os.path.dirname(folder), "--preset", name]
    words += ["--layout", parameters["layout"], "--seed", parameters["seed"]]
    if parameters["image_size"] != PRESETS[name].image_size:
        words += ["--image-size", parameters["image_size"]]
    return f"render them: {shlex.join(map(str, [*words, *flags]))}"
