"""The run folders of a page: what each holds, and a sentence for everything that it does not."""

import functools
import json
import logging
import os
from dataclasses import dataclass

from ealn_plugin import config as configuration
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.reports.exhibits import TrainedRun
from ealn_plugin.reports.names import short_labels
from ealn_plugin.reports.subjects import RunSubject
from ealn_plugin.runs.folder import CONFIG, RESULTS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _RecordsAlone:
    """Stands for RunSubject where a folder has no checkpoint: there are no networks, but what was written is there."""

    label: str
    config: object
    folder: str

    def engine(self):
        raise FileNotFoundError(f"there is no {checkpoint.LAST}; copy it into the run folder, or train on")


class ReportedRun(TrainedRun):
    """A run folder on a page.

    Args:
        folder: of the run, with at least its config.yaml. label: its name on the page.
        options: [KEY, VALUE, ...] that replace those of the run, such as data.root.
        num_images: see ``TrainedRun``.
        recorded: show only what the run wrote itself, without its networks and its dataset.
    Raises:
        FileNotFoundError, ValueError: not a run folder, with one sentence.
    """

    def __init__(self, folder, label, options=(), num_images=256, recorded=False):
        file = os.path.join(folder, CONFIG)
        if not os.path.isfile(file):
            raise FileNotFoundError(
                f"--run {folder!r} has no {CONFIG}; give the data.save_dir of a run of tools/train_ealn.py"
            )
        options = [*options, "ealn.render.preset", ""]  # a report renders nothing
        self._checkpoint = os.path.join(folder, checkpoint.LAST)
        if os.path.isfile(self._checkpoint):
            subject = RunSubject(folder, label, options)
        else:
            subject = _RecordsAlone(label, configuration.load_config(file, options), folder)
        super().__init__(subject, num_images)
        self.own_config, self.recorded = configuration.load_config(file), recorded

    @functools.cached_property
    def results(self):
        """The content of results.json, or None where the run has none that can be read."""
        path = os.path.join(self.folder, RESULTS)
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            dataset, _, protocol = content["primary"].partition("/")
            for tree in (content["datasets"], content.setdefault("untrained", {})):
                for metrics in (metrics for by_protocol in tree.values() for metrics in by_protocol.values()):
                    metrics.update({name: float(value) for name, value in metrics.items()})
            content["datasets"][dataset][protocol]["mAP"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be used: %s", path, error)
            return None
        return content

    @property
    def own_results(self):
        """{dataset: {protocol: metrics}} of the embedding network's own feature where the run fuses it with another;
        {} where it does not, or where the checkpoint, which holds them, cannot be used."""
        return {} if self.unavailable else self.engine.own_results

    @functools.cached_property
    def unavailable(self):
        """Why the networks or their test images cannot be used, in one sentence; '' where they can."""
        if self.recorded:
            return f"{self.label}: only what the run recorded is shown, as asked; leave --recorded out for the rest."
        try:
            self.engine  # noqa: B018  (built by the first access)
        except (ValueError, OSError, RuntimeError) as error:
            log.warning("%s: %s", self.label, error)
            advice = self._where_to_get_it() if os.path.isfile(self._checkpoint) else ""
            return f"{self.label}: {str(error).strip().rstrip('.')}.{advice}"
        return ""

    def _where_to_get_it(self):
        render = self.own_config.ealn.render
        if not render.preset:
            return " Name the folder that holds the dataset with --root DIR."
        size = f" --image-size {render.image_size}" if render.image_size else ""
        return (
            f" The benchmark of this run comes from: python tools/make_synthetic.py --root DIR --layout "
            f"{render.layout} --preset {render.preset} --seed {render.seed}{size}; then name it with --root DIR."
        )


def open_runs(folders, options=(), num_images=256, recorded=False):
    """Open run folders under the shortest names that tell them apart.

    Args:
        folders: paths. options, num_images, recorded: see ``ReportedRun``.
    Returns:
        list of ReportedRun
    Raises:
        FileNotFoundError, ValueError: one is no run folder, or is given twice; with one sentence.
    """
    return [
        ReportedRun(folder, label, options, num_images, recorded)
        for folder, label in zip(folders, short_labels(folders))
    ]
