"""Curves and pictures of results. Nothing else in the package imports matplotlib."""

from ealn_plugin.visualization.curves import draw_cmc, write_cmc_csv
from ealn_plugin.visualization.plots import (
    draw_histograms,
    draw_losses,
    draw_sensitivity,
    draw_series,
    right_end,
    sensitivity_table,
)
from ealn_plugin.visualization.ranked_lists import draw_ranked_lists, rank_queries
from ealn_plugin.visualization.sheets import Tile, draw_sheet
from ealn_plugin.visualization.style import check_matplotlib

__all__ = [
    "Tile",
    "check_matplotlib",
    "draw_cmc",
    "draw_histograms",
    "draw_losses",
    "draw_ranked_lists",
    "draw_sensitivity",
    "draw_series",
    "draw_sheet",
    "rank_queries",
    "right_end",
    "sensitivity_table",
    "write_cmc_csv",
]
