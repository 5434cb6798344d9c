"""The side a vehicle shows: the View labels and the files they are read from and written to.

Three kinds of file carry view labels: the public key-point annotation of VeRI-776 (`read_keypoints`), the
VehicleID view lists (read in vehicleid.py) and this project's own viewpoints.csv, which fits any dataset.
"""

import csv
import logging
import math
import os
import re
from enum import IntEnum

from ealn_plugin.data.files import malformed, read_lines, undecodable
from ealn_plugin.system.files import csv_text, write_atomically

log = logging.getLogger(__name__)

VIEWPOINTS_FILE = "viewpoints.csv"


class View(IntEnum):
    """The side a vehicle shows. SIDE and UNKNOWN images take no part in cross-view training."""

    FRONT = 0
    REAR = 1
    SIDE = 2
    UNKNOWN = -1


# By orientation code of the VeRI-776 key-point annotation (Wang et al., ICCV 2017): front, rear, left,
# left-front, left-rear, right, right-front, right-rear.
_VIEW_OF_ORIENTATION = (View.FRONT, View.REAR, View.SIDE, View.FRONT, View.REAR, View.SIDE, View.FRONT, View.REAR)
_VIEW_OF_NAME = {view.name.lower(): view for view in View}
# path, 20 pairs x y (-1 -1 where the point is hidden), orientation
_KEYPOINT_LINE = re.compile(r"(\S+)(?:\s+-?\d+(?:\.\d+)?){40}\s+([0-7])", re.ASCII)


def view_from_orientation(orientation):
    """Return the View of an orientation code of the key-point annotation, 0..7.

    Raises:
        ValueError: for any other value.
    """
    if orientation not in range(len(_VIEW_OF_ORIENTATION)):
        raise ValueError(
            f"orientation {orientation!r} is not one of the codes 0 (front) to 7 (right-rear); "
            f"give View.UNKNOWN instead of calling this where no orientation is known"
        )
    return _VIEW_OF_ORIENTATION[int(orientation)]


def view_from_name(name):
    """Return the View called `name`: front, rear, side or unknown, in any case.

    Raises:
        ValueError: for any other name.
    """
    try:
        return _VIEW_OF_NAME[name.strip().lower()]
    except KeyError:
        raise ValueError(f"view {name!r} is not one of {', '.join(_VIEW_OF_NAME)}; use one of them") from None


def read_keypoints(path):
    """Read a keypoint_train.txt or keypoint_test.txt and return {image file name without folder: View}.

    An image may stand on several lines (500 do in the public test file). Where they agree on front, rear or
    side the view counts; where they contradict each other nobody can tell which is right, so the view is
    UNKNOWN.

    Raises:
        ValueError: for a line that is not `PATH x1 y1 ... x20 y20 ORIENTATION`, with file and line.
    """
    views, contradicted = {}, set()
    for number, line in read_lines(path):
        match = _KEYPOINT_LINE.fullmatch(line)
        if match is None:
            raise malformed(
                path, number, line, "an image path, 40 numbers (20 points x y, -1 where hidden) and an orientation 0..7"
            )
        image = match.group(1).rpartition("/")[2]
        view = _VIEW_OF_ORIENTATION[int(match.group(2))]
        if views.setdefault(image, view) != view:
            contradicted.add(image)
    for image in contradicted:
        views[image] = View.UNKNOWN
    if contradicted:
        log.warning(
            "%s: %d image(s) have lines that contradict each other; their view is taken as unknown",
            path,
            len(contradicted),
        )
    return views


def read_viewpoints_csv(path):
    """Read a viewpoints.csv and return {image: (View, confidence)}.

    The header is `image,view` or `image,view,confidence`; image is relative to the dataset folder with
    forward slashes, view is front, rear, side or unknown, confidence lies in [0, 1] and counts as 1 where it
    is absent. The same image twice is accepted if both lines say the same view (the first line's confidence
    is kept).

    Raises:
        ValueError: for a wrong header, line, view or confidence, or two views for one image, with file and
            line.
    """
    views = {}
    with open(path, encoding="utf-8-sig", newline="") as handle:
        rows = csv.reader(handle, strict=True)
        try:
            _check_header(path, next(rows, []))
            for row in rows:
                if not row:
                    continue
                image, view, confidence = _parse_row(path, rows.line_num, row)
                if views.setdefault(image, (view, confidence))[0] != view:
                    raise malformed(
                        path,
                        rows.line_num,
                        ",".join(row),
                        f"the view {views[image][0].name.lower()} that an earlier line gives it",
                    )
        except csv.Error as error:
            raise malformed(path, rows.line_num, str(error), "comma-separated values") from error
        except UnicodeDecodeError as error:
            raise _undecodable_csv(path) from error
    return views


def write_viewpoints_csv(path, views):
    """Write {image: (view, confidence)} as a viewpoints.csv that `read_viewpoints_csv` reads back unchanged.

    The file appears under its name only when complete.

    Args:
        path: the file to write, `viewpoints.csv` in the dataset folder to have the dataset classes use it.
        views: as `viewpoints_csv`.

    Raises:
        ValueError: as `viewpoints_csv`, and for an image whose name is no UTF-8. OSError: it cannot be written.
    """
    write_atomically(path, viewpoints_csv(views))


def viewpoints_csv(views):
    """Return {image: (view, confidence)} as the text of a viewpoints.csv.

    Lines are sorted by image, so equal labels give equal bytes.

    Args:
        views: image is relative to the dataset folder; view a View or its number; confidence in [0, 1].

    Raises:
        ValueError: for an empty image name, a number that is no View or a confidence outside [0, 1].
    """
    rows = []
    for image, (view, confidence) in sorted(views.items()):
        confidence = float(confidence)
        if not image or view not in tuple(View) or not 0.0 <= confidence <= 1.0:
            raise ValueError(
                f"image {image!r} has view {view!r} and confidence {confidence}, expected a "
                f"non-empty name, a View and a value in [0, 1]; correct it to write viewpoints.csv"
            )
        rows.append((image, View(view).name.lower(), repr(confidence)))
    return csv_text(("image", "view", "confidence"), rows)


def gather_views(dataset_dir, images, released, min_confidence=0.0):
    """Return {image: View} for every image, from viewpoints.csv where it names the image, else from
    `released`.

    Args:
        dataset_dir: the dataset folder, where viewpoints.csv is looked for.
        images: names relative to `dataset_dir`, with forward slashes.
        released: {image: View} from the files of the release.
        min_confidence: lines of viewpoints.csv below this confidence count as UNKNOWN.
    """
    path = os.path.join(dataset_dir, VIEWPOINTS_FILE)
    listed = read_viewpoints_csv(path) if os.path.isfile(path) else {}
    if listed and not any(image in listed for image in images):
        log.warning(
            "%s names no image of this dataset (its first is %r); names are relative to %s",
            path,
            next(iter(listed)),
            dataset_dir,
        )
    views = {}
    for image in images:
        view, confidence = listed.get(image) or (released.get(image, View.UNKNOWN), 1.0)
        views[image] = view if confidence >= min_confidence else View.UNKNOWN
    return views


def _check_header(path, header):
    if [name.strip().lower() for name in header] not in (["image", "view"], ["image", "view", "confidence"]):
        raise malformed(path, 1, ",".join(header), "the header image,view or image,view,confidence")


def _parse_row(path, line, row):
    """Return (image, View, confidence) of one row of a viewpoints.csv."""
    if not 2 <= len(row) <= 3 or not row[0]:
        raise malformed(path, line, ",".join(row), "image,view or image,view,confidence")
    view = _VIEW_OF_NAME.get(row[1].strip().lower())
    if view is None:
        raise malformed(path, line, row[1], f"one of the views {', '.join(_VIEW_OF_NAME)}")
    text = row[2].strip() if len(row) == 3 else ""
    try:
        confidence = float(text) if text else 1.0
    except ValueError:
        confidence = math.nan
    if not 0.0 <= confidence <= 1.0:
        raise malformed(path, line, row[2], "a confidence in [0, 1]")
    return row[0], view, confidence


def _undecodable_csv(path):
    """Return the ValueError for a file that is not UTF-8: text reading loses the line, so find it again."""
    with open(path, "rb") as handle:
        raw = handle.read()
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return undecodable(path, raw, error, "UTF-8")
    return ValueError(f"{path} could not be read as UTF-8 text; write it again")
