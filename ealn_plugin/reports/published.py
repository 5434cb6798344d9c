"""Figures that others published, to stand beside measured ones. What is not listed was not published or not checked."""

from dataclasses import dataclass

EALN_PAPER = "Lou et al., Embedding Adversarial Learning for Vehicle Re-Identification, IEEE TIP 2019, Tables I and II"


@dataclass(frozen=True)
class Published:
    """One published row.

    Attributes:
        network: name of the method.
        datasets: names under which torchreid knows the dataset.
        protocol: the protocol here that comes nearest to the publication's.
        metrics: {"mAP": float in [0, 1], ...}.
        source: where it was published.
        row: name of the row of Table I here that it belongs to; '' for none.
    """

    network: str
    datasets: tuple
    protocol: str
    metrics: dict
    source: str = EALN_PAPER
    row: str = ""


_VERI, _SMALL = ("veri776",), ("vehicleid", "vehicleid_small")

# The paper does not say whether its VeRI-776 figures rank images or tracks; they are listed with images.
# Its mAP on VehicleID has one probe per identity (Liu et al.'s code), which is vehicleid_map here. Table II splits the
# same figures by view, and so do same_view and cross_view here, within the draws of vehicleid_map.
PUBLISHED = (
    Published("EN", _VERI, "veri_image", {"mAP": 0.4785}, row="en"),
    Published("Hard-EALN", _VERI, "veri_image", {"mAP": 0.5536, "rank1": 0.8426}, row="hard"),
    Published("Hard-View-EALN", _VERI, "veri_image", {"mAP": 0.5744, "rank1": 0.8439}, row="hard_view"),
    Published(
        "VAMI (2018)", _VERI, "veri_image", {"mAP": 0.5013, "rank1": 0.7703}, "as cited by the EALN paper", "vami"
    ),
    Published("OIFE (2017)", _VERI, "veri_image", {"mAP": 0.4800}, "as cited by the EALN paper", "oife"),
    Published("FastReID, ResNet-50-IBN", _VERI, "veri_image", {"mAP": 0.819, "rank1": 0.970}, "later work"),
    Published("TransReID", _VERI, "veri_image", {"mAP": 0.821, "rank1": 0.974}, "later work"),
    Published("CLIP-SENet", _VERI, "veri_image", {"mAP": 0.929, "rank1": 0.987}, "later work"),
    Published("EN", _SMALL, "vehicleid_map", {"mAP": 0.675}, row="en"),
    Published("Hard-EALN", _SMALL, "vehicleid_map", {"mAP": 0.751}, row="hard"),
    Published("Hard-View-EALN", _SMALL, "vehicleid_map", {"mAP": 0.775}, row="hard_view"),
    Published("Hard-EALN", _SMALL, "cross_view", {"mAP": 0.378}, row="hard"),
    Published("Hard-View-EALN", _SMALL, "cross_view", {"mAP": 0.426}, row="hard_view"),
    Published("Hard-EALN", _SMALL, "same_view", {"mAP": 0.896}, row="hard"),
    Published("Hard-View-EALN", _SMALL, "same_view", {"mAP": 0.892}, row="hard_view"),
)
