"""Rendered vehicles: a benchmark with the layout of VeRi-776 or VehicleID that anyone can make anywhere."""

from ealn_plugin.data.synthetic.companions import add_companions, has_companions
from ealn_plugin.data.synthetic.contact_sheet import write_contact_sheet
from ealn_plugin.data.synthetic.presets import PRESETS, Preset
from ealn_plugin.data.synthetic.training_twins import add_training_twins, has_training_twins
from ealn_plugin.data.synthetic.writer import is_complete, read_marker, render_dataset

__all__ = [
    "PRESETS",
    "Preset",
    "add_companions",
    "add_training_twins",
    "has_companions",
    "has_training_twins",
    "is_complete",
    "read_marker",
    "render_dataset",
    "write_contact_sheet",
]
