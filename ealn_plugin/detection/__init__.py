"""Vehicles in videos and folders of frames: found by a detector, followed, and cropped for a gallery.

detector.py (boxes of a frame, by an ONNX file of the user's), video.py (frames and their times), tracks.py (which boxes
are one vehicle), crops.py (which pictures of a track are kept), clips.py (a clip from beginning to end, as files in a
folder).
"""

from ealn_plugin.detection.clips import ClipCropper, Settings
from ealn_plugin.detection.detector import Detector

__all__ = ["ClipCropper", "Detector", "Settings"]
