"""ealn_plugin/commands/choices.py: every copy is that of its original."""

from ealn_plugin import export
from ealn_plugin.benchmark import engines, rank
from ealn_plugin.commands import choices
from ealn_plugin.data import View
from ealn_plugin.data.synthetic import PRESETS, layouts
from ealn_plugin.detection import detector, video
from ealn_plugin.evaluation.protocols import PROTOCOLS
from ealn_plugin.evaluation.spatio_temporal import FORMS
from ealn_plugin.export import formats, weights_file
from ealn_plugin.inference import extractor
from ealn_plugin.reports import figures, html
from ealn_plugin.runs import grid
from ealn_plugin.search import gallery, index, neighbours, places, writer


def test_the_copies_are_those_of_the_originals():
    assert choices.PROTOCOLS == tuple(PROTOCOLS)
    assert choices.PLACES == FORMS and choices.WHERE_WEIGHT == places.WEIGHT
    assert choices.VIEWS == tuple(view.name.lower() for view in View)
    assert choices.LAYOUTS == tuple(layouts.LAYOUTS) and choices.RENDERED == tuple(PRESETS)
    assert choices.FIGURES == {number: figure.name for number, figure in figures.FIGURES.items()}
    assert choices.EXPORT_FORMATS == tuple(export.FORMATS) and choices.EXPORT_PACKAGES == export.PACKAGES
    assert choices.WEIGHTS_FORMAT == weights_file.FORMAT
    assert choices.OPSETS == formats.OPSETS
    assert choices.REPORT_PACKAGES == html.PACKAGES
    assert choices.GRID_SCHEMES == grid.SCHEMES and choices.GRID_PRESETS == tuple(sorted(grid.PRESETS))
    assert choices.SEARCH_SPLITS == gallery.SPLITS and choices.SEARCH_KINDS == writer.KINDS
    assert (choices.FLAT_UP_TO, choices.RECALL_AT) == (neighbours.FLAT_UP_TO, writer.RECALL_AT)
    assert choices.SEARCH_ENGINES == tuple(engines.ENGINES)
    assert (choices.SEARCH_GROUPS, choices.TARGET_RECALL) == (index.GROUPS, writer.TARGET_RECALL)
    assert choices.DETECT_CLASSES == detector.VEHICLES and choices.VIDEOS == video.VIDEO_EXTENSIONS
    assert choices.PRECISIONS == tuple(sorted(extractor.PRECISIONS))
    assert choices.RANK_SIZES == tuple(sorted(rank.RANK_SIZES))
