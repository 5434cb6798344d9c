"""The vehicles of videos and folders of frames as images for an index."""

import logging
import os
from collections.abc import Sequence

from ealn_plugin.data.times import time_number
from ealn_plugin.detection import ClipCropper
from ealn_plugin.detection.video import Clip, camera_of
from ealn_plugin.search.records import Records
from ealn_plugin.system.messages import counted

log = logging.getLogger(__name__)


def images_of_clips(
    cropper: ClipCropper, clips: Sequence[Clip], camera: str = "", start: str = "", progress: bool = True
) -> Records:
    """Crop the vehicles of clips; what is known of each image is its clip, track, camera, time and type.

    Args:
        camera: of all clips; '': that after which a clip is named. start: when the clips begin, a date or a number;
            '': times are seconds since a clip's first frame.
    Raises:
        ValueError: a start that is no time, or no vehicle in any of the clips. OSError: crops cannot be written.
    """
    began, dated = time_number(start) if start else (0.0, False)
    parts = []
    for clip in clips:
        found = cropper.crop(clip, progress)
        if not found:
            log.warning("%s: no vehicle was found", clip.path)
            continue
        name = os.path.basename(os.path.dirname(found[0].image))
        log.info("%s: %s", clip.path, vehicles(found))
        parts.append(
            Records(
                [one.image for one in found],
                times=[began + one.seconds for one in found],
                dated=[dated] * len(found),
                cameras=[camera or camera_of(clip.path)] * len(found),
                types=[one.kind for one in found],
                sources=[clip.path] * len(found),
                tracks=[f"{name} {one.track}" for one in found],
            )
        )
    if not parts:
        raise ValueError(
            f"no vehicle was found in {', '.join(clip.path for clip in clips)}; lower --detect-confidence, or name "
            "other --detect-classes"
        )
    return Records.joined(parts)


def vehicles(found: Sequence) -> str:
    """'3 vehicles, 12 images' of a clip's crops."""
    return f"{counted(len({one.track for one in found}), 'vehicle')}, {counted(len(found), 'image')}"
