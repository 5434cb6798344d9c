"""Random images in place of a dataset: what a training step costs does not depend on what they show."""

import numpy as np
import torch

from ealn_plugin.data.viewpoints import View


class RandomImages:
    """What ``EALNEngine`` needs of a data manager, and batches of random images of random front and rear views.

    The views differ from image to image, so the batches of each view vary in size, as they do in a dataset.

    Args:
        height, width: image size in pixels.
        batch_size: images per batch.
        num_instances: images of one identity in a batch; must divide the batch.
        identities: width of the classifier; at least as many as a batch holds.
        batches: different batches.
        seed: of everything random.
        pin_memory: lay the images out for fast copies to a GPU.
    Attributes:
        batches: list of batches as torchreid's loaders make them, 'img' being [batch, 3, height, width] normalized.
        views: {image path: View}.
    Raises:
        ValueError: a batch holds more identities than there are.
    """

    def __init__(
        self,
        height: int,
        width: int,
        batch_size: int,
        num_instances: int,
        identities: int,
        batches: int = 4,
        seed: int = 0,
        pin_memory: bool = False,
    ) -> None:
        count = batch_size // num_instances
        if identities < count:
            raise ValueError(
                f"a batch of {batch_size} images holds {count} identities, but there are {identities}; "
                "give more with --identities or lower train.batch_size"
            )
        self.height, self.width, self.num_train_pids = height, width, identities
        self.train_loader, self.test_loader = None, {}
        rng, self.views, self.batches = np.random.default_rng(seed), {}, []
        for number in range(batches):
            paths = [f"/random/{number}_{index}.jpg" for index in range(batch_size)]
            self.views.update(zip(paths, rng.choice([View.FRONT, View.REAR], batch_size)))
            images = torch.from_numpy(rng.standard_normal((batch_size, 3, height, width), dtype=np.float32))
            pids = torch.from_numpy(rng.choice(identities, count, replace=False).repeat(num_instances))
            self.batches.append({"img": images.pin_memory() if pin_memory else images, "pid": pids, "impath": paths})
