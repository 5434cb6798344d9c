"""What a reader who knows the method, but not the code, calls the values that a run logs."""

import re

GROUPS = (
    ("Embedding network: what it minimises", r"loss/E"),
    ("Generators: what they minimise", r"loss/G"),
    ("Discriminators: what they minimise", r"loss/D"),
    ("Distances in a batch, means", r"distance/"),
    ("Other values", r""),
)
"""Groups of training curves, each with the pattern that its names begin with; the first that fits is the group."""

_NAMES = (
    (r"loss/E", "all terms together"),
    (r"loss/E_triplet", "triplet term on real images"),
    (r"loss/E_identity", "identity term (cross-entropy) on real images"),
    (r"loss/E_(?:hard|paste)", "hard negatives pushed away, Eq. 5"),
    (r"loss/E_view", "other views pushed away, Eq. 10"),
    (r"loss/E_neutral", "neutral twins kept nearer than hard negatives"),
    (r"loss/E_reconstruction", "reconstructions kept near"),
    (r"loss/E_truth", "the renderer's hard negatives pushed away"),
    (r"loss/E_twin", "the renderer's other views kept near"),
    (r"loss/E_mix", "mixed images pushed away"),
    (r"loss/E_perturb", "perturbed copies pushed away"),
    (r"loss/E_clusters", "images near the centre of their vehicle, coupled clusters"),
    (r"loss/E_models", "models told apart (cross-entropy)"),
    (r"loss/E_level(\w+)", r"pairs that reach sub-network \1 of the cascade, contrastive"),
    (r"loss/E_inter", "triplets of vehicles, around means (group-sensitive)"),
    (r"loss/E_intra", "triplets of groups within a vehicle (group-sensitive)"),
    (r"loss/E_lsro", "generated images belong to every vehicle alike (LSRO)"),
    (r"loss/E_xvgan", "both views compared in pairs, contrastive (XVGAN)"),
    (r"loss/E_contrastive", "inferred features compared in pairs, contrastive (VAMI)"),
    (r"loss/E_viewpoint", "which view is shown (VAMI)"),
    (r"loss/E_parts", "which parts two views share (VAMI)"),
    (r"loss/E_realism", "inferred features pass for real ones (VAMI)"),
    (r"loss/E_vehicle", "the discriminator recognises the vehicle (VAMI)"),
    (r"loss/E_likeness", "inferred features near the real ones (VAMI)"),
    (r"loss/G", "all terms together"),
    (r"loss/G_hard_belt", "hard negatives in the belt of Eq. 4"),
    (r"loss/G_hard_gan", "hard negatives look real, Eq. 6"),
    (r"loss/G_hard_hole", "holes of real images repainted"),
    (r"loss/G_hard_reconstruction", "input reproduced"),
    (r"loss/G_(rear|front)_near", r"\1 views near their vehicle, Eq. 9"),
    (r"loss/G_(rear|front)_gan", r"\1 views look real, Eq. 11"),
    (r"loss/G_(rear|front)_cycle", r"\1 views turn back into their input"),
    (r"loss/G_star_gan", "other views look real"),
    (r"loss/G_star_domain", "other views show the wanted side"),
    (r"loss/G_star_cycle", "other views turn back into their input"),
    (r"loss/G_lsro", "generated images look real (DCGAN)"),
    (r"loss/G_xv_vehicle", "codes tell the vehicle (XVGAN)"),
    (r"loss/G_xv_view", "codes tell the view (XVGAN)"),
    (r"loss/G_xv_gan", "other views look real (XVGAN)"),
    (r"loss/G_xv_class", "other views show the vehicle and the wanted side (XVGAN)"),
    (r"loss/G_xv_likeness", "other views like a real one of the vehicle (XVGAN)"),
    (r"loss/G_vami_class", "features of several real views tell the vehicle (VAMI)"),
    (r"loss/G_vami_contrastive", "features of several real views compared in pairs (VAMI)"),
    (r"loss/D", "all terms together"),
    (r"loss/D_rf", "real images or hard negatives, Eq. 6"),
    (r"loss/D_(rear|front)", r"real or generated \1 views, Eq. 11"),
    (r"loss/D_star", "real or generated views"),
    (r"loss/D_star_domain", "which side is shown"),
    (r"loss/D_star_penalty", "gradient penalty"),
    (r"loss/D_lsro", "real or generated images (DCGAN)"),
    (r"loss/D_xv", "real or generated views (XVGAN)"),
    (r"loss/D_xv_class", "which vehicle and side is shown (XVGAN)"),
    (r"loss/D_vami", "features of real views or inferred ones (VAMI)"),
    (r"loss/D_vami_class", "which vehicle a feature is of (VAMI)"),
    (r"distance/positive", "to another image of the vehicle"),
    (r"distance/negative", "to an image of another vehicle"),
    (r"distance/(?:hard|paste)", "to the hard negative"),
    (r"distance/hard_change", "change of a pixel in hard negatives"),
    (r"distance/(rear|front)", r"to the generated \1 view"),
    (r"distance/neutral", "to the neutral twin"),
    (r"distance/reconstruction", "to the reconstruction"),
    (r"distance/truth", "to the renderer's hard negative"),
    (r"distance/twin", "to the renderer's other view"),
    (r"distance/mix", "to the mixed image"),
    (r"distance/perturb", "to the perturbed copy"),
    (r"weight/(\w+)", r"weight of the loss on generated images (\1)"),
)
DIAGNOSTICS = {
    "probe_auc": (
        "Told apart by a line",
        "1: generated embeddings are a shortcut; 0.5: they cannot be told from real ones",
    ),
    "eq4_lower": ("Nearer than beta1", "share of hard negatives (Eq. 4)"),
    "eq4_upper": ("Not nearer than real negatives", "share of hard negatives not beta2 nearer (Eq. 4)"),
    "eq5": ("Hard negatives still pushed away", "share of active hinges (Eq. 5)"),
    "eq9": ("Not near their vehicle", "share of other views not alpha nearer than real negatives (Eq. 9)"),
    "eq10": ("Other views still pushed away", "share of active hinges (Eq. 10)"),
    "twin": ("Twins too far", "share of neutral twins not alpha nearer than their hard negative"),
    "distance": ("Distance to the input", "mean d(x, G(x))"),
    "nearest_negative": ("Distance to the nearest other vehicle", "mean over the inputs"),
    "inside_negatives": ("Nearer than every other vehicle", "share of generated images"),
    "positive": ("Distance to the vehicle's other images", "mean over the inputs"),
    "change": ("Change of a pixel", "mean, images span 2; 0: a copy"),
    "output_variety": ("Variety of the outputs", "as a share of the inputs'; 0: always one picture"),
    "change_variety": ("Variety of the change", "share that differs between inputs; 0: always the same change"),
}
"""The columns of diagnostics.csv: {name: (title, how to read it)}; see evaluation/diagnostics.py."""
_KINDS = {
    "hard": "Hard negatives",
    "paste": "Hard negatives, pasted",
    "neutral": "Neutral twins of the hard negatives",
    "reconstruction": "Reconstructions",
    "other_view": "Other views (cross-view twins)",
    "perturb": "Perturbed copies",
}


def plain_name(name: str) -> str:
    """A logged name such as 'loss/G_rear_near' in words; as it is where it has none."""
    for pattern, words in _NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(words)
    return name


def group_of(name: str) -> str:
    """The title in ``GROUPS`` under which a logged name is shown."""
    return next(title for title, start in GROUPS if re.match(start, name))


def kind_name(kind: str) -> str:
    """A kind of generated image, such as 'neutral', in words; as it is where it has none."""
    return _KINDS.get(kind, kind)
