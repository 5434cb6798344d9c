"""Boxes of vehicles in a frame, from a detector that the user has as an ONNX file."""

import ast
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import cv2
import numpy as np

from ealn_plugin.inference.networks import open_session
from ealn_plugin.system.extras import check_extra

VEHICLES = ("car", "motorcycle", "bus", "truck")
"""Classes of COCO that are looked for unless the user names others."""

COCO_VEHICLES = {2: "car", 3: "motorcycle", 5: "bus", 7: "truck"}
_COCO_CLASSES = 80
_SIDE = 640  # pixels of a network that takes any size: what Ultralytics exports by default
_GREY = 114  # of the margins, as in Ultralytics' letterbox
_END_TO_END = 6  # numbers of a finished box: x1, y1, x2, y2, score, class


@dataclass(frozen=True)
class Boxes:
    """Vehicles of one frame, the most certain first.

    Attributes:
        corners: float32 [n, 4], left, top, right and bottom in pixels of the frame, within it.
        scores: float32 [n] in [0, 1]. kinds: list of n names of classes.
    """

    corners: np.ndarray
    scores: np.ndarray
    kinds: list

    def __len__(self) -> int:
        return len(self.kinds)


class Detector:
    """A YOLO-style detector in an ONNX file, run by onnxruntime.

    The file takes RGB images [1, 3, height, width] in [0, 1], of a fixed size or of any. It gives one output, either
    [1, 4 + classes, n]: centre, width and height in pixels of the input, then a score for each class (Ultralytics'
    YOLOv8 and YOLO11; overlapping boxes are removed here); or [1, n, 6]: corners, score and class of finished boxes
    (exports with ``nms=True``, and networks that need none).

    Args:
        path: the file. classes: names or numbers of the classes to look for; a file with one class needs none.
        confidence: least score, in [0, 1]. overlap: boxes whose intersection over union is larger are one vehicle.
        device: None: a GPU where onnxruntime has one, else 'cpu' or 'cuda'.

    Attributes:
        identity: what the boxes depend on, as JSON values.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: no such file, onnxruntime is missing, a file with other inputs or
            outputs, or classes that it does not have; one sentence.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        classes: Sequence[str] = VEHICLES,
        confidence: float = 0.25,
        overlap: float = 0.6,
        device: Any = None,
    ) -> None:
        check_extra("detect", ("onnxruntime",), "detectors")
        for name, value in (("confidence", confidence), ("overlap", overlap)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value:g}, expected a number in [0, 1]")
        self.path, self.confidence, self.overlap = fspath(path), confidence, overlap
        self._session = open_session(self.path, device, "export the detector again")
        self._input, self._size, self._type = self._checked_input()
        self._finished, count = self._checked_output()
        self._kinds = self._chosen(classes, count)
        with open(self.path, "rb") as file:
            weights = hashlib.sha256(file.read()).hexdigest()
        self.identity = {
            "weights": weights,
            "classes": {str(number): name for number, name in self._kinds.items()},
            "confidence": confidence,
            "overlap": overlap,
        }

    # ------------------------------------------------------------------------------------------ what the file is
    def _checked_input(self) -> tuple[str, tuple[int, int], Any]:
        inputs = self._session.get_inputs()
        first = inputs[0]
        shape = list(first.shape)
        kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        if len(inputs) != 1 or len(shape) != 4 or shape[1] not in (3, None) or first.type not in kinds:
            found = ", ".join(f"{value.type} {_said(value.shape)}" for value in inputs)
            raise ValueError(
                f"{self.path!r} takes {found}, expected images [1, 3, height, width] of floating-point numbers; give a "
                "YOLO-style detector"
            )
        height, width = (side if isinstance(side, int) and side > 0 else _SIDE for side in shape[2:])
        return first.name, (height, width), kinds[first.type]

    def _checked_output(self) -> tuple[bool, int | None]:
        """(whether boxes are finished, number of classes or None where the file does not say), by a grey frame."""
        outputs = self._session.get_outputs()
        grey = np.full((1, 3, *self._size), _GREY / 255, self._type)
        try:
            found = self._session.run(None, {self._input: grey})
        except Exception as error:  # onnxruntime's exceptions share no class of their own
            raise ValueError(
                f"{self.path!r} cannot be run on an image of {self._size[1]} x {self._size[0]} pixels "
                f"({str(error).strip().splitlines()[0]}); export the detector again"
            ) from error
        shape = found[0].shape
        if len(found) == 1 and len(shape) == 3 and shape[0] == 1:
            if shape[2] == _END_TO_END:
                return True, None
            if 4 < shape[1] < shape[2]:
                return False, shape[1] - 4
        said = ", ".join(f"{output.name} {_said(array.shape)}" for output, array in zip(outputs, found))
        raise ValueError(
            f"{self.path!r} gives {said}, expected one output [1, 4 + classes, n] or [1, n, 6]; export the detector in "
            "such a layout, for example with Ultralytics' yolo export format=onnx"
        )

    def _chosen(self, classes: Sequence[str], count: int | None) -> dict[int, str]:
        """{number: name} of the classes that are looked for."""
        names = _names(self._session.get_modelmeta().custom_metadata_map)
        if not names and count in (None, _COCO_CLASSES):
            names = dict(COCO_VEHICLES)
        if not names and count == 1:
            names = {0: "vehicle"}
        if len(names) == 1 and tuple(classes) == VEHICLES:
            return names
        chosen = {}
        for wanted in classes:
            numbers = [number for number, name in names.items() if name == wanted]
            if not numbers and wanted.isdecimal() and (count is None or int(wanted) < count):
                numbers = [int(wanted)]
            if numbers:
                chosen[numbers[0]] = names.get(numbers[0], wanted)
            elif tuple(classes) != VEHICLES or not names:
                known = ", ".join(names.values()) if names else f"numbers from 0 to {(count or 1) - 1}"
                raise ValueError(
                    f"--detect-classes has {wanted!r}, but {self.path!r} knows {known}; name its vehicles with "
                    "--detect-classes"
                )
        if not chosen:
            raise ValueError(
                f"{self.path!r} has none of the classes {', '.join(classes)}, but {', '.join(names.values())}; name "
                "its vehicles with --detect-classes"
            )
        return chosen

    # ------------------------------------------------------------------------------------------ boxes
    def __call__(self, frame: np.ndarray) -> Boxes:
        """The ``Boxes`` of a frame.

        Args:
            frame: uint8 [height, width, 3], RGB.
        """
        image, scale, (left, top) = self._fitted(frame)
        raw = np.asarray(self._session.run(None, {self._input: image})[0], dtype=np.float32)[0]
        corners, scores, classes = self._of_finished(raw) if self._finished else self._of_candidates(raw)
        corners = (corners - np.array([left, top, left, top], np.float32)) / scale
        height, width = frame.shape[:2]
        corners = np.clip(corners, 0, np.array([width, height, width, height], np.float32))
        order = np.argsort(-scores, kind="stable")
        order = order[((corners[:, 2:] - corners[:, :2]) >= 1)[order].all(axis=1)]
        return Boxes(corners[order], scores[order], [self._kinds[int(number)] for number in classes[order]])

    def _fitted(self, frame: np.ndarray) -> tuple[np.ndarray, float, tuple[int, int]]:
        """(input [1, 3, height, width], its scale, left and top margin) of a frame, whose proportions are kept."""
        height, width = self._size
        scale = min(height / frame.shape[0], width / frame.shape[1])
        inner = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        canvas = np.full((height, width, 3), _GREY, np.uint8)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(frame, inner, interpolation=way)
        image = (canvas.transpose(2, 0, 1)[None].astype(np.float32) / 255).astype(self._type)
        return np.ascontiguousarray(image), scale, (left, top)

    def _of_finished(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(corners, scores, classes) of [n, 6]; some exports fill up with boxes of score 0."""
        wanted = (raw[:, 4] >= max(self.confidence, 1e-6)) & np.isin(raw[:, 5].round(), list(self._kinds))
        return raw[wanted, :4], raw[wanted, 4], raw[wanted, 5].round().astype(np.int64)

    def _of_candidates(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same of [4 + classes, n], after non-maximum suppression among all wanted classes together.

        A vehicle that is both car and truck is one vehicle, of the class with the higher score.
        """
        numbers = np.array(sorted(self._kinds))
        wanted = raw[4:][numbers]
        scores, classes = wanted.max(axis=0), numbers[wanted.argmax(axis=0)]
        rows = np.flatnonzero(scores >= max(self.confidence, 1e-6))
        centre, half = raw[:2, rows].T, raw[2:4, rows].T / 2
        corners, scores = np.concatenate([centre - half, centre + half], axis=1), scores[rows]
        sized = np.concatenate([centre - half, 2 * half], axis=1)
        kept = np.array(cv2.dnn.NMSBoxes(sized.tolist(), scores.tolist(), 0.0, self.overlap), dtype=np.int64).ravel()
        return corners[kept], scores[kept], classes[rows][kept]


def _names(metadata: Mapping[str, str]) -> dict[int, str]:
    """{number: name} of classes, as Ultralytics writes them into its files; {} where there are none."""
    try:
        names = ast.literal_eval(metadata.get("names", "{}"))
        return {int(number): str(name) for number, name in dict(names).items()}
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return {}


def _said(shape: Sequence[Any]) -> str:
    return f"[{', '.join(map(str, shape))}]"
