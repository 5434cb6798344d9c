"""The vehicle datasets, and the annotations that travel beside torchreid's tuples.

`DATASETS` maps every name that is registered with torchreid to its class.
"""

from ealn_plugin.data.annotations import APPEARANCE, VIEWPOINTS, AnnotationTable
from ealn_plugin.data.cityflow import CityFlow
from ealn_plugin.data.vehicleid import VehicleID, VehicleID13164, VehicleIDLarge, VehicleIDMedium
from ealn_plugin.data.veri776 import VeRi776
from ealn_plugin.data.veriwild import VeriWild, VeriWildLarge, VeriWildMedium
from ealn_plugin.data.viewpoints import View, read_viewpoints_csv, view_from_orientation, write_viewpoints_csv
from ealn_plugin.data.vric import Vric

DATASETS = {
    name: dataset
    for dataset in (
        VeRi776,
        VehicleID,
        VehicleIDMedium,
        VehicleIDLarge,
        VehicleID13164,
        VeriWild,
        VeriWildMedium,
        VeriWildLarge,
        Vric,
        CityFlow,
    )
    for name in dataset.dataset_names
}

__all__ = [
    "APPEARANCE",
    "DATASETS",
    "VIEWPOINTS",
    "AnnotationTable",
    "CityFlow",
    "VeRi776",
    "VehicleID",
    "VehicleID13164",
    "VehicleIDLarge",
    "VehicleIDMedium",
    "VeriWild",
    "VeriWildLarge",
    "VeriWildMedium",
    "View",
    "Vric",
    "read_viewpoints_csv",
    "view_from_orientation",
    "write_viewpoints_csv",
]
