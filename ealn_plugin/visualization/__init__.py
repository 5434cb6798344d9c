"""Tables, curves and pictures of results. Nothing else in the package imports matplotlib."""

from ealn_plugin.visualization.curves import draw_cmc, write_cmc_csv
from ealn_plugin.visualization.plots import (
    draw_histograms,
    draw_losses,
    draw_sensitivity,
    draw_series,
    right_end,
    sensitivity_table,
)
from ealn_plugin.visualization.published import PUBLISHED
from ealn_plugin.visualization.ranked_lists import draw_ranked_lists, rank_queries
from ealn_plugin.visualization.sheets import Tile, draw_sheet
from ealn_plugin.visualization.style import check_matplotlib
from ealn_plugin.visualization.tables import (
    MEASURED,
    PUBLISHED_ROW,
    UNTRAINED,
    Row,
    cells_of,
    csv_table,
    markdown_table,
    published_rows,
    rows_of,
    text_table,
)

__all__ = [
    "MEASURED",
    "PUBLISHED",
    "PUBLISHED_ROW",
    "Row",
    "Tile",
    "UNTRAINED",
    "cells_of",
    "check_matplotlib",
    "csv_table",
    "draw_cmc",
    "draw_histograms",
    "draw_losses",
    "draw_ranked_lists",
    "draw_sensitivity",
    "draw_series",
    "draw_sheet",
    "markdown_table",
    "published_rows",
    "rank_queries",
    "right_end",
    "rows_of",
    "sensitivity_table",
    "text_table",
    "write_cmc_csv",
]
