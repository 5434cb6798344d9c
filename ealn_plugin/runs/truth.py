"""The renderer's truth for the datasets of a configuration, before a grid that is to be read beside its bounds."""

import logging

from ealn_plugin.config import CfgNode
from ealn_plugin.data import synthetic
from ealn_plugin.data.own.names import build_dataset
from ealn_plugin.runs import build
from ealn_plugin.system.entrances import command

log = logging.getLogger(__name__)

LOOKALIKES = 2
"""Of every training image where the configuration asks for none: one of each kind."""


def render_truth(config: CfgNode) -> None:
    """Render the datasets of a configuration where they are missing, and lookalikes and unmarked twins into them.

    Lookalikes that are there are kept, however many.

    Args:
        config: what ``load_config`` returned.
    Raises:
        ValueError: a dataset was not rendered; as ``render_dataset`` and ``add_companions`` otherwise.
    """
    build.render_if_missing(config)
    for name in dict.fromkeys([*config.data.sources, *config.data.targets]):
        folder = getattr(build_dataset(name, config.data.root), "dataset_dir", "")
        if not synthetic.is_complete(folder):
            raise ValueError(
                f"dataset {name} in {folder or config.data.root!r} was not rendered, so its truth is not known; leave "
                f"--bounds out, or render one with {command('make-synthetic')}"
            )
        if not synthetic.has_companions(folder):
            log.info("rendering %d lookalikes of every training image of %s", LOOKALIKES, name)
            synthetic.add_companions(folder, LOOKALIKES)
