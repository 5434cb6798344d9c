"""Tables, curves and pictures of results. Nothing else in the package imports matplotlib."""
from ealn_plugin.visualization.curves import check_matplotlib, draw_cmc, write_cmc_csv
from ealn_plugin.visualization.published import PUBLISHED
from ealn_plugin.visualization.ranked_lists import draw_ranked_lists, rank_queries
from ealn_plugin.visualization.tables import Row, csv_table, markdown_table, published_rows, rows_of, text_table

__all__ = ["PUBLISHED", "Row", "check_matplotlib", "csv_table", "draw_cmc", "draw_ranked_lists", "markdown_table",
           "published_rows", "rank_queries", "rows_of", "text_table", "write_cmc_csv"]
