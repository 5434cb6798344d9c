"""Which boxes of successive frames are one vehicle, by ByteTrack (Zhang et al., ECCV 2022) of supervision.

supervision 0.30 is the last with ByteTrack; the successor, trackers, brings a second OpenCV that overwrites the
headless one.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from ealn_plugin.detection.detector import Boxes
from ealn_plugin.system.extras import check_extra

MEMORY = 1.0
"""Seconds for which a vehicle may be hidden and still be the same one afterwards."""


class Tracker:
    """Follows the vehicles of one clip.

    Args:
        rate: frames a second that it is shown. confidence: a vehicle is first noticed with this score; weaker boxes
            only continue it.

    Attributes:
        memory: frames for which a vehicle may be hidden.

    Raises:
        RuntimeError: supervision is not installed.
    """

    def __init__(self, rate: float, confidence: float = 0.25) -> None:
        check_extra("detect", ("supervision",), "tracks")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it leaves supervision
            from supervision import ByteTrack, Detections

            self.memory = max(1, round(rate * MEMORY))
            self._tracker = ByteTrack(
                track_activation_threshold=confidence,
                lost_track_buffer=self.memory,
                minimum_matching_threshold=0.8,
                frame_rate=30,  # at which the buffer is a number of frames
                minimum_consecutive_frames=1,
            )
        self._detections = Detections

    def update(self, boxes: Boxes) -> Sequence[tuple[int, int]]:
        """[(number of the vehicle from 1, row of ``boxes``)] of the next frame."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self._tracker.update_with_detections(
                self._detections(
                    xyxy=boxes.corners.reshape(-1, 4).astype(np.float32),
                    confidence=boxes.scores.astype(np.float32),
                    class_id=np.arange(len(boxes)),
                )
            )
        if found.tracker_id is None or found.class_id is None:
            return []
        return sorted(zip(found.tracker_id.tolist(), found.class_id.tolist()))
