"""A small detector as an ONNX file, and videos that it can watch, with their ground truth.

The detector finds what is bright on dark frames: areas of bright cells of 8 x 8 pixels that touch, a box for each. Red,
green and blue areas are cars, persons and trucks.
"""

import cv2
import numpy as np

CELL, CLASSES, ROUNDS = 8, ("car", "person", "truck"), 24


def write_detector(path, size=(128, 256), layout="candidates", names=True, dynamic=False):
    """Write the detector.

    Args:
        size: height and width of its input. layout: 'candidates': [1, 7, n], a box from every cell of an area;
            'finished': [1, n, 6]; 'transposed': [1, n, 7], which nobody exports; 'two': two outputs.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    height, width = size[0] // CELL, size[1] // CELL
    nodes, constants = [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    row, column = np.mgrid[:height, :width].astype(np.float32)
    places = np.stack([column + 1, width - column, row + 1, height - row, row * width + column + 1])[None]
    cells = node("AveragePool", ["images"], "cells", kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    bright = node("ReduceMax", [cells, constant("channels", np.array([1]))], "bright", keepdims=1)
    mask = node("Cast", [node("Greater", [bright, constant("dark", np.float32(0.35))], "is_bright")], "mask", to=1)
    own = place = node("Mul", [mask, constant("places", places)], "place_0")
    for number in range(1, ROUNDS + 1):  # the largest of each number goes through the area
        around = node("MaxPool", [place], f"around_{number}", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        place = node("Mul", [mask, around], f"place_{number}")
    flat = node("Reshape", [place, constant("flat", np.array([1, 5, -1]))], "flat_places")
    right, left, bottom, top, index = (
        node("Gather", [flat, constant(f"row_{k}", np.array([k]))], f"part_{k}", axis=1) for k in range(5)
    )
    scale = constant("cell", np.float32(CELL))
    x2, y2 = node("Mul", [right, scale], "x2"), node("Mul", [bottom, scale], "y2")
    x1 = node("Mul", [node("Sub", [constant("width", np.float32(width)), left], "x1_cells"), scale], "x1")
    y1 = node("Mul", [node("Sub", [constant("height", np.float32(height)), top], "y1_cells"), scale], "y1")
    best = node("ArgMax", [cells], "best", axis=1, keepdims=0)
    one_hot = node(
        "OneHot", [best, constant("depth", np.array(3)), constant("values", np.float32([0, 0.9]))], "hot", axis=1
    )
    scored = node("Mul", [one_hot, mask], "scored")
    scores = node("Reshape", [scored, constant("flat_scores", np.array([1, 3, -1]))], "scores")
    if layout == "finished":
        flat_own = node("Reshape", [own, "flat"], "flat_own")
        own_index = node("Gather", [flat_own, "row_4"], "own_index", axis=1)
        first = node("Cast", [node("Equal", [own_index, index], "same")], "first", to=1)  # one cell of each area
        score = node("Mul", [node("ReduceMax", [scores, "channels"], "top", keepdims=1), first], "score")
        kind = node("Cast", [node("ArgMax", [scores], "kind_number", axis=1, keepdims=1)], "kind", to=1)
        joined = node("Concat", [x1, y1, x2, y2, score, kind], "joined", axis=1)
        node("Transpose", [joined], "output", perm=[0, 2, 1])
    else:
        half = constant("half", np.float32(0.5))
        cx = node("Mul", [node("Add", [x1, x2], "x_sum"), half], "cx")
        cy = node("Mul", [node("Add", [y1, y2], "y_sum"), half], "cy")
        across, down = node("Sub", [x2, x1], "across"), node("Sub", [y2, y1], "down")
        node("Concat", [cx, cy, across, down, scores], "joined" if layout == "transposed" else "output", axis=1)
        if layout == "transposed":
            node("Transpose", ["joined"], "output", perm=[0, 2, 1])
    outputs = ["output", "mask"] if layout == "two" else ["output"]
    shape = [1, 3, "height", "width"] if dynamic else [1, 3, *size]
    graph = helper.make_graph(
        nodes,
        "bright areas",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if names:
        helper.set_model_props(model, {"names": str(dict(enumerate(CLASSES)))})
    onnx.save(model, str(path))
    return str(path)


class Traffic:
    """Vehicles that drive through a scene of 256 x 128 pixels, from left to right, in three lanes.

    Args:
        pictures: uint8 [h, w, 3] in RGB, a vehicle each; every third follows in the same lane.
        hidden: frames in which the first vehicle passes behind something dark.
    """

    width, height, frames, speed = 256, 128, 70, 8

    def __init__(self, pictures, hidden=range(0)):
        self.pictures, self.hidden = pictures, hidden
        self._background = np.random.default_rng(5).integers(0, 60, (self.height, 2 * self.width, 3)).astype(np.uint8)
        self._background = cv2.GaussianBlur(self._background, (0, 0), 2)

    def box(self, vehicle, frame):
        """(left, top, right, bottom) of a vehicle, within the frame, or None where it cannot be seen."""
        height, width = self.pictures[vehicle].shape[:2]
        lane, turn = vehicle % 3, vehicle // 3
        left = -width + self.speed * (frame - 3 * lane) - turn * (width + 96)
        top = 4 + 42 * lane
        if left >= self.width or left + width <= 0 or (vehicle == 0 and frame in self.hidden):
            return None
        return max(0, left), top, min(self.width, left + width), top + height

    def frame(self, number):
        """uint8 [128, 256, 3] in RGB; the background moves, as if the camera turned."""
        shift = 2 * number % self.width
        pixels = self._background[:, shift : shift + self.width].copy()
        for vehicle, picture in enumerate(self.pictures):
            box = self.box(vehicle, number)
            if box:
                left, top, right, bottom = box
                first = 0 if left else picture.shape[1] - right
                pixels[top:bottom, left:right] = picture[:, first : first + right - left]
        return pixels

    def write(self, path, frames=None):
        """Write a video of 10 frames a second; returns its name."""
        video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (self.width, self.height))
        assert video.isOpened()
        for number in range(frames or self.frames):
            video.write(cv2.cvtColor(self.frame(number), cv2.COLOR_RGB2BGR))
        video.release()
        return str(path)


def plain(*colours, size=(34, 56)):
    """Pictures of one colour each: 'red', 'green' or 'blue'."""
    found = []
    for colour in colours:
        picture = np.zeros((*size, 3), np.uint8)
        picture[..., ("red", "green", "blue").index(colour)] = 230
        found.append(picture)
    return found
