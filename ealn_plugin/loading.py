"""From a run folder to its trained networks, for whoever uses a result: no dataset is needed, nothing is trained."""
import os
from dataclasses import dataclass, field

import torch

from ealn_plugin import build, toolkit
from ealn_plugin import config as configuration
from ealn_plugin.engine import checkpoint, state
from ealn_plugin.engine.pixels import PixelRange
from ealn_plugin.engine.sampling import own_randomness
from ealn_plugin.engine.testing import FeatureExtraction
from ealn_plugin.models.embedding import EmbeddingNetwork
from ealn_plugin.training import CONFIG
from ealn_plugin.weights import CLASSIFIER


@dataclass
class LoadedRun:
    """The trained networks of a run, in eval mode and without gradients, and what they expect of an image.

    Attributes:
        config: the run's configuration (yacs tree, frozen).
        embedding: ``EmbeddingNetwork``: normalized images [n, 3, height, width] to L2-normalised embeddings [n, dim].
        schemes: list of ``Scheme`` with their generators and discriminators, [] for a run of EN.
        pixels: ``PixelRange`` between the normalization of ``embedding`` and the [-1, 1] of the generators.
        device: torch.device that all of them are on.
        source: path of the file that the weights came from.
    """

    config: object
    embedding: EmbeddingNetwork
    schemes: list
    pixels: PixelRange
    device: torch.device
    source: str
    _transform: object = field(default=None, repr=False)

    def __post_init__(self):
        for network in (self.embedding, *self.schemes):
            network.to(self.device).eval().requires_grad_(False)
        self.pixels.to(self.device)

    @property
    def size(self):
        """(height, width) of the images in pixels."""
        return self.config.data.height, self.config.data.width

    @property
    def normalization(self):
        """(mean, std) for pixels in [0, 1], a list of three values each."""
        return list(self.config.data.norm_mean), list(self.config.data.norm_std)

    @property
    def fusing(self):
        """The scheme whose generators make the other view, or None."""
        return next((scheme for scheme in self.schemes if scheme.makes_other_view), None)

    @property
    def transform(self):
        """torchreid's test transform: RGB ``PIL.Image`` to a normalized tensor [3, height, width]."""
        if self._transform is None:
            self._transform = toolkit.test_transform(*self.size, *self.normalization)
        return self._transform

    def extraction(self, views_of=None):
        """The engine's ``FeatureExtraction`` around these networks; ``views_of``: list of paths to [n] views."""
        return FeatureExtraction(self.embedding, self.pixels, self.schemes, views_of, self.device,
                                 self.config.ealn.fusion)


def files_of_run(path, flag="the run"):
    """The configuration file and the checkpoint of a run.

    Args:
        path: run folder, meaning its last checkpoint, or one of the checkpoint_*.pth.tar in it.
        flag: what the user calls it in messages.
    Returns:
        (str, str)
    Raises:
        FileNotFoundError: one of them is not there.
    """
    path = os.fspath(path)
    folder, name = os.path.split(path) if os.path.isfile(path) else (path, checkpoint.LAST)
    for wanted in (CONFIG, name):
        if not os.path.isfile(os.path.join(folder, wanted)):
            raise FileNotFoundError(f"{flag} {path!r} has no {wanted}; give the data.save_dir of a run of "
                                    "tools/train_ealn.py that has saved a checkpoint")
    return os.path.join(folder, CONFIG), os.path.join(folder, name)


def load_run(path, device="cpu"):
    """The networks of a run of tools/train_ealn.py; its dataset need not be there, and no code in its files is run.

    Args:
        path: run folder, meaning its last checkpoint, or one of the checkpoint_*.pth.tar in it.
        device: where to put the networks.
    Returns:
        LoadedRun
    Raises:
        FileNotFoundError: not a run that has saved a checkpoint.
        CheckpointError, ValueError: broken files, or a checkpoint that does not fit its configuration.
    """
    config_file, checkpoint_file = files_of_run(path)
    config = configuration.load_config(config_file, ["model.pretrained", False, "model.load_weights", ""])
    content = checkpoint.load(checkpoint_file)
    with own_randomness():  # the initial weights are drawn, then overwritten
        model = build.build_embedding_backbone(config, number_of_classes(content["model"]))
        schemes = build.build_schemes(config)
    state.check_schemes(schemes, content, checkpoint_file)
    state.fit_networks(model, schemes, content, checkpoint_file)
    pixels = PixelRange(config.data.norm_mean, config.data.norm_std)
    return LoadedRun(config, EmbeddingNetwork(model), schemes, pixels, torch.device(device), checkpoint_file)


def number_of_classes(weights):
    """How many training identities the classifier in a backbone's state dict was made for; 1 where it has none."""
    name = f"{CLASSIFIER}.weight"  # so in every single-branch model of torchreid
    return len(weights[name]) if name in weights else 1
