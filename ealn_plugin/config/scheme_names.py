"""The values of ealn.scheme: what they are called, and what each puts together."""

NAMES = {
    "en": "EN",
    "hard": "Hard-EALN",
    "view": "View-EALN",
    "hard_view": "Hard-View-EALN",
    "cyclegan": "EN + CycleGAN",
    "stargan": "EN + StarGAN",
    "hard_cyclegan": "Hard-EALN + CycleGAN",
    "hard_stargan": "Hard-EALN + StarGAN",
    "en_paste": "EN + pasted regions",
    "hard_truth": "Hard, renderer's fakes",
    "view_truth": "View, renderer's other views",
    "ccl": "Mixed Diff + CCL",
    "xvgan": "XVGAN",
    "hdc": "HDC + contrastive",
    "vami": "VAMI",
    "gste": "Group-sensitive triplets",
    "lsro": "DCGAN + LSRO",
}
"""Schemes and what the paper calls them; other systems in the order of Table I."""
SCHEMES = (
    "en",
    "hard",
    "view",
    "hard_view",
    "cyclegan",
    "stargan",
    "hard_cyclegan",
    "hard_stargan",
    "en_mix",
    "en_perturb",
    "en_paste",
    "hard_truth",
    "view_truth",
    "ccl",
    "hdc",
    "gste",
    "lsro",
    "xvgan",
    "vami",
)
COMPARED = ("ccl", "hdc", "gste", "lsro", "xvgan", "vami")
"""Those of other systems; configs/compared/ has a file for each, with the network that it needs."""
GENERATOR_FREE = ("en", "en_mix", "en_perturb", "en_paste", "hard_truth", "view_truth", "ccl", "hdc", "gste")
"""Values of ealn.scheme without generators."""
OTHER_VIEW_PARTS = ("view", "cyclegan", "stargan", "xvgan")
"""Parts of a scheme, see ``parts_of``, whose generators make the other half of the fused feature."""


def parts_of(scheme: str) -> tuple[str, ...]:
    """What a value of ``ealn.scheme`` puts together, such as ('hard', 'view') for hard_view; () for en."""
    if scheme == "hard_truth":  # hard negatives as well, but in the place of a generator's
        return ("truth",)
    if scheme == "view_truth":  # other views as well, but in training alone
        return ("true_view",)
    return tuple(word for word in scheme.split("_") if word != "en")
