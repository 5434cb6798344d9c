"""A small classifier that tells from which side a vehicle is seen: front, rear or side.

It supplies the view labels that cross-view training needs where a release has none. Its probabilities are calibrated
by temperature scaling on images of vehicles that it was not trained on, so a confidence of 0.9 is meant to be wrong
one time in ten - on images like those. On images of another kind it is only a guide.
"""

import logging

import torch
import tqdm
from scipy import optimize
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from ealn_plugin import toolkit
from ealn_plugin.data.viewpoints import View
from ealn_plugin.labelling.augmentation import augment
from ealn_plugin.models.embedding import check_backbone
from ealn_plugin.models.modes import evaluating
from ealn_plugin.system.files import replacing
from ealn_plugin.system.interrupts import ignore_interrupts
from ealn_plugin.system.randomness import derived_seed, own_randomness

log = logging.getLogger(__name__)

CLASSES = (View.FRONT, View.REAR, View.SIDE)
FORMAT = 1
_KEY = "ealn_viewpoint_classifier"
_TEMPERATURES = (0.5, 20.0)  # without a lower bound, images without a mistake would make it sure of everything
_PREDICTION_BATCH = 256
_LARGEST_SIZE = 1024
_PEAK_RATE, _RISE, _WEIGHT_DECAY = 0.001, 0.2, 0.01  # of AdamW with one cycle; set on rendered images
_MOST_DEGRADED = 0.5


class ViewpointClassifier(nn.Module):
    """A torchreid backbone with a linear layer for the three views.

    Args:
        model: name of a single-branch torchreid model, such as squeezenet1_1 or osnet_x0_25.
        size: height and width of the images in pixels.

    Attributes:
        temperature (float): divides the logits before probabilities are made of them; see `calibrate`.

    forward: images [n, 3, size, size] in [0, 1] -> logits [n, 3] in the order of CLASSES.

    Raises:
        ValueError: no such model, one with several branches, or a size that it cannot process.
    """

    def __init__(self, model="squeezenet1_1", size=64):
        super().__init__()
        self.model, self.size, self.temperature = model, size, 1.0
        with toolkit.prints_to_log():
            self.backbone = toolkit.build_model(model, len(CLASSES), loss="triplet", pretrained=False, use_gpu=False)
        self.head = nn.Linear(check_backbone(self.backbone, size, size), len(CLASSES))
        self.to(memory_format=torch.channels_last)  # half as fast again on a CPU

    def forward(self, images):
        outputs = self.backbone(2 * images - 1)
        return self.head(outputs[1] if self.training else outputs)


def train_classifier(
    images, labels, model="squeezenet1_1", steps=3000, batch_size=32, seed=0, device="cpu", progress=True
):
    """Train a ViewpointClassifier from random weights; on the CPU the same arguments give the same weights.

    Args:
        images: uint8 [n, 3, size, size]; labels: long [n], values of View without UNKNOWN.
        model: see ViewpointClassifier; steps, batch_size: how many updates with how many images each.
        device: where to train; progress: show a progress bar.
    Returns:
        ViewpointClassifier on `device`, in eval mode, not calibrated.
    Raises:
        ValueError: no front or no rear among the labels, or an argument out of range.
        RuntimeError: the loss is no longer a number.
    """
    _check_training(labels, steps, batch_size)
    generator = torch.Generator().manual_seed(derived_seed(seed, "views"))
    with own_randomness(derived_seed(seed, "view networks")):
        classifier = ViewpointClassifier(model, images.shape[-1]).to(device).train()
        optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=_WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=steps + 1, pct_start=_RISE)
        order = torch.empty(0, dtype=torch.long)
        bar = tqdm.tqdm(range(steps), desc="training", unit="step", disable=not progress)
        for step in bar:
            while len(order) < batch_size:
                order = torch.cat([order, torch.randperm(len(images), generator=generator)])
            batch, order = order[:batch_size], order[batch_size:]
            # clean images first: with degraded ones alone the network takes far longer to find anything
            pixels = augment(images[batch].float() / 255, generator, min(_MOST_DEGRADED, step / steps))
            logits = classifier(pixels.to(device, memory_format=torch.channels_last))
            loss = F.cross_entropy(logits, labels[batch].to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 20 == 0 or step == steps - 1:
                _show(bar, step, loss.item())
    return classifier.eval()


def calibrate(classifier, images, labels):
    """Set `classifier.temperature` to the one with the least cross entropy (Guo et al., ICML 2017), in [0.5, 20].

    Args:
        images: uint8 [n, 3, size, size] of vehicles that it was not trained on; labels: long [n], values of View.
    Returns:
        float: the temperature.
    """
    logits = predict_logits(classifier, images).double()
    bounds = [float(torch.tensor(value).log()) for value in _TEMPERATURES]
    found = optimize.minimize_scalar(
        lambda power: float(F.cross_entropy(logits / torch.tensor(power).exp(), labels)),
        bounds=bounds,
        method="bounded",
    )
    classifier.temperature = float(torch.tensor(found.x, dtype=torch.float64).exp())
    return classifier.temperature


def predict_logits(classifier, images):
    """Logits before the temperature, float32 [n, 3] on the CPU: the mean of an image's and its mirror image's.

    Args:
        images: uint8 [n, 3, size, size].
    """
    device = next(classifier.parameters()).device
    parts = []
    with evaluating(classifier):
        for part in images.split(_PREDICTION_BATCH) if len(images) else ():
            pixels = part.to(device).float() / 255
            parts.append(((classifier(pixels) + classifier(pixels.flip(3))) / 2).float().cpu())
    return torch.cat(parts).clone() if parts else torch.empty(0, len(CLASSES))


def probabilities(classifier, images):
    """Calibrated probabilities of the views, float32 [n, 3] in the order of CLASSES.

    Args:
        images: uint8 [n, 3, size, size], see ``as_pixels``.
    """
    return (predict_logits(classifier, images) / classifier.temperature).softmax(1)


def predict(classifier, paths, workers=0, progress=True):
    """Calibrated probabilities of the views of image files.

    Args:
        paths: list of files; workers: processes that read them; progress: show a progress bar.
    Returns:
        float32 [len(paths), 3] in the order of CLASSES; zeros for a file that cannot be decoded, which is logged.
    Raises:
        FileNotFoundError: there is no such file.
    """
    parts, unreadable = [], 0
    with tqdm.tqdm(total=len(paths), desc="labelling", unit="img", disable=not progress) as bar:
        for images, readable in _batches(paths, classifier.size, workers):
            parts.append(probabilities(classifier, images) * readable[:, None])
            unreadable += int((~readable).sum())
            bar.update(len(images))
    if unreadable:
        log.warning("%d of %d images cannot be decoded; their view is unknown", unreadable, len(paths))
    return torch.cat(parts) if parts else torch.empty(0, len(CLASSES))


def load_images(paths, size, workers=0, progress=True):
    """Read image files into memory, scaled to `size` x `size` pixels: uint8 [n, 3, size, size].

    Raises:
        FileNotFoundError, RuntimeError: a file does not exist or cannot be decoded.
    """
    images = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)
    done = 0
    with tqdm.tqdm(total=len(paths), desc="reading", unit="img", disable=not progress) as bar:
        for part, readable in _batches(paths, size, workers):
            if not readable.all():
                toolkit.read_image(paths[done + int((~readable).nonzero()[0])])  # raises the error that names it
            images[done : done + len(part)] = part
            done += len(part)
            bar.update(len(part))
    return images


def save_classifier(classifier, path, report=None):
    """Write a classifier to one file of plain tensors and numbers, in one go.

    Args:
        report: JSON values that `load_classifier` gives back, such as the accuracy on held-out images.
    Raises:
        OSError: the file cannot be written.
    """
    weights = {name: value.cpu() for name, value in classifier.state_dict().items()}
    with replacing(path) as temporary:
        torch.save(
            {
                _KEY: FORMAT,
                "model": classifier.model,
                "size": classifier.size,
                "temperature": classifier.temperature,
                "weights": weights,
                "report": report,
            },
            temporary,
        )


def load_classifier(path, device="cpu"):
    """Read a file of `save_classifier` without running any code in it.

    Returns:
        (ViewpointClassifier on `device` in eval mode, the report that was saved with it)
    Raises:
        FileNotFoundError, ValueError: there is no such file, or it holds no viewpoint classifier.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"the classifier {path!r} does not exist; give a file that tools/label_viewpoints.py "
            f"has saved, or none to train one"
        ) from None
    except Exception as error:  # torch raises many kinds for a broken file; all of them mean the same here
        raise ValueError(
            f"the classifier {path!r} cannot be read ({type(error).__name__}); give a file that "
            f"tools/label_viewpoints.py has saved, or none to train one"
        ) from error
    if not isinstance(state, dict) or state.get(_KEY) != FORMAT:
        raise ValueError(
            f"{path!r} holds no viewpoint classifier of format {FORMAT}; give a file that "
            f"tools/label_viewpoints.py has saved, or none to train one"
        )
    try:
        size, temperature, report = int(state["size"]), float(state["temperature"]), state["report"]
        if not (1 <= size <= _LARGEST_SIZE and 0 < temperature < 100 and isinstance(report, dict | None)):
            raise ValueError(f"size {size}, temperature {temperature}, a report of type {type(report).__name__}")
        classifier = ViewpointClassifier(state["model"], size)
        classifier.load_state_dict(state["weights"])
    except Exception as error:  # a file of the right format with anything in it
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"the classifier {path!r} is damaged or was not written by this plugin "
            f"({type(error).__name__}: {reason}); give another, or none to train one"
        ) from error
    classifier.temperature = temperature
    return classifier.to(device).eval(), report


def as_pixels(image, size):
    """A ``PIL.Image`` in mode RGB as a classifier sees it: uint8 [3, size, size]."""
    image = image.resize((size, size), 2, reducing_gap=3.0)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(size, size, 3).permute(2, 0, 1)


class _Scaled(Dataset):
    """Image files as (uint8 [3, size, size], whether the file could be decoded)."""

    def __init__(self, paths, size):
        self.paths, self.size = paths, size

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        try:
            return as_pixels(toolkit.read_image(self.paths[index]), self.size), True
        except toolkit.UnreadableImageError:
            return torch.zeros(3, self.size, self.size, dtype=torch.uint8), False


def _batches(paths, size, workers):
    workers = min(workers, len(paths) // _PREDICTION_BATCH)
    return DataLoader(_Scaled(paths, size), _PREDICTION_BATCH, num_workers=workers, worker_init_fn=ignore_interrupts)


def _check_training(labels, steps, batch_size):
    for name, value, least in (("steps", steps, 1), ("batch_size", batch_size, 2)):
        if value < least:
            raise ValueError(f"{name} is {value}, expected {least} or more")
    for view in (View.FRONT, View.REAR):
        if not (labels == view).any():
            raise ValueError(
                f"none of the {len(labels)} training images is labelled {view.name.lower()}; give a "
                f"dataset that has images of both ends of its vehicles"
            )


def _show(bar, step, loss):
    if loss != loss:
        raise RuntimeError(
            f"the loss of the viewpoint classifier is no number any more at step {step}; choose another seed or model"
        )
    bar.set_postfix(loss=f"{loss:.3f}")
