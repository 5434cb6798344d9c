"""Find a dataset's folder and read its text files, with errors that name the file and the line."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
RENDERED = "synthetic.json"
"""A dataset folder that holds this file was rendered: it is not the release whose place it takes."""
RENDERED_NOTE = "rendered vehicles, not the release: published figures are no yardstick here"


def find_dataset_folder(root: str, folder_names: Sequence[str], required: Sequence[str], dataset: str) -> str:
    """Return the absolute path of the first folder under `root` (or `root` itself) that holds the dataset.

    Args:
        root: the folder that torchreid calls `root`; '' is the working directory, '~' is expanded.
        folder_names: names the release is known to be unpacked under, best first.
        required: sub-folders without which the dataset cannot be read.
        dataset: the name to use in messages.

    Raises:
        FileNotFoundError: naming every folder looked for, or what the folder that was found lacks.
    """
    root = os.path.abspath(os.path.expanduser(root))
    candidates = [os.path.join(root, name) for name in folder_names] + [root]
    lacking = {}
    for candidate in candidates:
        missing = [name for name in required if not os.path.isdir(os.path.join(candidate, name))]
        if not missing:
            return candidate
        lacking[candidate] = missing
    for candidate, missing in lacking.items():
        if len(missing) < len(required):
            raise FileNotFoundError(
                f"{dataset}: {candidate} lacks the folder(s) {', '.join(missing)} beside those it has, "
                f"so unpack the dataset completely; see datasets.md"
            )
    raise FileNotFoundError(
        f"{dataset} was not found: looked for a folder with {', '.join(required)} in it at "
        f"{', '.join(candidates)}; see datasets.md for how to get and place it, then give its parent as root"
    )


def image_names(folder: str) -> list[str]:
    """Return the sorted image file names in `folder`; hidden files and other kinds are passed over.

    Raises:
        FileNotFoundError: an image is a link to a file that is not there.
    """
    with os.scandir(folder) as entries:
        named = [entry for entry in entries if is_image_name(entry.name)]
        found = sorted(entry.name for entry in named if entry.is_file())
        check_links([entry.path for entry in named if not entry.is_file()])
    return found


def is_image_name(name: str) -> Any:
    """Whether a file of that name is looked at: it ends as images do, in any case, and is not hidden."""
    return name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")


def check_links(paths: Any) -> None:
    """Raise FileNotFoundError, naming the first, if any of the paths is a link to nothing."""
    broken = sorted(path for path in paths if os.path.islink(path) and not os.path.exists(path))
    if broken:
        raise FileNotFoundError(
            f"{broken[0]} is a link to {os.readlink(broken[0])!r}, which does not exist, as {len(broken)} image(s) "
            f"there are; restore what they link to, or remove the links"
        )


def stem(name: str) -> str:
    """A file name without its ending."""
    return os.path.splitext(name)[0]


def by_stem(names: Iterable[str]) -> dict[str, str]:
    """Return {name without its ending: name}, for lists that write another ending than the files have.

    Of files that differ in nothing but the ending the one that sorts first counts.
    """
    return {stem(name): name for name in sorted(names, reverse=True)}


def is_rendered(folder: str) -> bool:
    """Whether a dataset folder was rendered by this plugin."""
    return os.path.isfile(os.path.join(folder, RENDERED))


def read_lines(path: str) -> list[tuple[int, str]]:
    """Return [(line number from 1, stripped text)] of a UTF-8 or ASCII file, without its blank lines.

    LF and CRLF line ends are both read, and so is a byte order mark.

    Raises:
        ValueError: if the bytes are not UTF-8, with file and line.
    """
    with open(path, "rb") as handle:
        raw = handle.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise undecodable(path, raw, error, "UTF-8") from error
    numbered = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    return [(number, line) for number, line in numbered if line]


_OF_A_RELEASE = "correct that line or take the file from the release again"


def malformed(path: str, line: int, found: object, expected: str, then: str = _OF_A_RELEASE) -> ValueError:
    """Return the ValueError for line `line` (from 1) of `path`: what stands there, what should, `then` what to do."""
    return ValueError(f"{path}:{line}: found {_shortened(found)}, expected {expected}; {then}")


def undecodable(
    path: str, raw: bytes, error: UnicodeDecodeError, encoding: str, then: str = _OF_A_RELEASE
) -> ValueError:
    """Return the ValueError for bytes `raw` of `path` that are not in `encoding` (a UnicodeDecodeError)."""
    line = raw.count(b"\n", 0, error.start) + 1
    return malformed(path, line, raw[error.start : error.start + 1], f"text encoded as {encoding}", then)


def _shortened(found: object, limit: int = 80) -> str:
    """Return repr(found), with an ellipsis after `limit` characters."""
    text = repr(found)
    return text if len(text) <= limit else text[:limit] + "..."
