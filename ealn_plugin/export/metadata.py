"""What a file of a network says of itself: what it takes, how to prepare an image, what comes out."""

import json
from collections.abc import Callable

from ealn_plugin import config as configuration
from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.feature_store import fingerprint_of_networks
from ealn_plugin.runs.described_file import CHANGING, OPTIONS
from ealn_plugin.runs.loading import LoadedRun

PREPROCESSING = (
    "decode to RGB; resize the whole image to image_height x image_width (the aspect is not kept); divide "
    "by 255; subtract mean and divide by std, channel by channel; axes: batch, channel, row, column"
)
_VIEWS = ", ".join(f"{int(view)} {view.name.lower()}" for view in View)


def metadata_of(run: LoadedRun) -> Callable[[str, int], dict[str, str]]:
    """Function of a graph's name and the length of its feature to {key: text}.

    Args:
        run: ``LoadedRun``.
    """
    (height, width), (mean, std) = run.size, run.normalization
    used, usual = configuration.flat(run.config), configuration.flat(configuration.default_config())
    changed = {key: used[key] for key in CHANGING if used[key] != usual[key]}
    common = {
        "network": run.config.model.name,
        **({OPTIONS: json.dumps(changed)} if changed else {}),
        "scheme": run.config.ealn.scheme,
        "preprocessing": PREPROCESSING,
        "image_height": str(height),
        "image_width": str(width),
        "colour_order": "RGB",
        "layout": "NCHW",
        "range": "[0, 1] before mean and std",
        "mean": json.dumps(mean),
        "std": json.dumps(std),
        "interpolation": "bilinear, antialiased (Pillow's Image.resize with BILINEAR)",
        "input_images": f"float32 [batch, 3, {height}, {width}], normalized pixels",
    }

    def describe(name: str, dim: int) -> dict[str, str]:
        """The metadata of one graph whose features have ``dim`` numbers."""
        networks = [run.embedding.backbone]
        described = {
            **common,
            "feature_dim": str(dim),
            "feature_norm": "1 (L2-normalised)",
            "comparison": "squared Euclidean distance or cosine; both rank alike",
        }
        if name == "fused":
            networks.append(run.fusing.generators)
            described.update(input_views=f"int64 [batch], the side that each image shows: {_VIEWS}", fusion=run.fusion)
        return {**described, "weights_sha256": fingerprint_of_networks(*networks)}

    return describe
