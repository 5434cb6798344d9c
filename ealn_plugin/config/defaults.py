"""Every key of a configuration, its default, and the values that it may have.

The torchreid keys and their defaults are those of its scripts/default_config.py, which is not part of the package.
"""

import yaml
from yacs.config import CfgNode

from ealn_plugin.config.scheme_names import SCHEMES

TRANSFORMS = ("random_flip", "random_crop", "random_patch", "color_jitter", "random_erase")
LOGGERS = ("tensorboard", "wandb", "mlflow")
RENDERED_FOLDERS = {"veri776": "VeRi", "vehicleid": "VehicleID_V1.0"}
LR_SCHEDULERS = ("linear", "single_step", "multi_step", "cosine")
RENAMED = {
    "ealn.optim": "ealn.gan_optim",
    "ealn.lr": "ealn.gan_lr",
    "ealn.beta_1": "ealn.gan_beta1",
    "ealn.beta_2": "ealn.gan_beta2",
}
"""Keys that had another name in earlier versions: {old: new}."""
_TORCHREID = """
use_gpu: true
model: {name: resnet50, pretrained: true, load_weights: '', resume: ''}
data:
  type: image
  root: reid-data
  sources: [veri776]
  targets: [veri776]
  workers: 4
  split_id: 0
  height: 224
  width: 224
  combineall: false
  transforms: [random_flip]
  k_tfm: 1
  norm_mean: [0.485, 0.456, 0.406]
  norm_std: [0.229, 0.224, 0.225]
  save_dir: log
  load_train_targets: false
market1501: {use_500k_distractors: false}
cuhk03: {labeled_images: false, classic_split: false, use_metric_cuhk03: false}
sampler:
  train_sampler: RandomIdentitySampler
  train_sampler_t: RandomSampler
  num_instances: 4
  num_cams: 1
  num_datasets: 1
train:
  optim: sgd
  lr: 0.001
  weight_decay: 0.0002
  max_epoch: 50
  start_epoch: 0
  batch_size: 32
  fixbase_epoch: 0
  open_layers: [classifier]
  staged_lr: false
  new_layers: [classifier]
  base_lr_mult: 0.1
  lr_scheduler: linear
  stepsize: [20]
  gamma: 0.1
  print_freq: 20
  seed: 1
sgd: {momentum: 0.9, dampening: 0.0, nesterov: false}
rmsprop: {alpha: 0.99}
adam: {beta1: 0.9, beta2: 0.999}
loss:
  name: triplet
  softmax: {label_smooth: false}
  triplet: {margin: 0.6, weight_t: 1.0, weight_x: 1.0}
test:
  batch_size: 100
  dist_metric: euclidean
  normalize_feature: false
  ranks: [1, 5, 10, 20]
  evaluate: false
  eval_freq: -1
  start_eval: 0
  rerank: false
  query_expansion: 0         # search again with so many nearest gallery images added to each query; 0: not
  expansion_alpha: 0.0       # power of the similarity that weighs them; 0: their average
  visrank: false
  visrank_topk: 10
"""
_EALN = """
scheme: hard_view             # en | hard | view | hard_view; comparators: cyclegan | stargan | hard_cyclegan |
                              # hard_stargan; controls without generators: en_mix | en_perturb | en_paste; the
                              # renderer's own hard negatives, other views: hard_truth | view_truth (docs/schemes.md);
                              # other systems (configs/compared, docs/compared.md): ccl | hdc | gste | lsro | xvgan |
                              # vami
distance: squared             # d of Eq. 2: squared | euclidean
triplets: random              # of EN: random | batch_hard (with scheme en the control "mere mining") | all_active
neck: none                    # normalization between the triplets' feature and the classifier (BNNeck), and which of
                              # the two features is tested: none | before | after
last_stride: 2                # 1: the last reduction of the backbone's maps is taken out
lr_warmup_epochs: 0           # first epochs in which the learning rate rises linearly to train.lr
negatives: random             # x_n of Eq. 4 and 9: random | semi_hard | hardest | attribute
alpha: 0.6                    # Eq. 5, 9, 10
beta1: 0.6                    # Eq. 4
beta2: 0.3                    # Eq. 4
lambda_ed: 1.0                # Eq. 7, 8, 13, 14
lambda_cyc: 10.0              # Eq. 13
gan_loss: vanilla             # Eq. 6, 11: vanilla | lsgan
hard:                         # of the schemes hard and, where they apply, en_paste (docs/schemes.md)
  generator: resnet           # resnet, the paper's | edit: only regions change, and D_emb's gradient reaches no pixel
  content: repaint            # of edit: repaint | blend (pasted from another vehicle, then repainted along the seams)
  neutral: least              # edits as positives: none | least (of the candidates) | own (pasted from its vehicle)
  choose: pixels              # which candidate becomes the negative: pixels | persistent | embedding | belt
  candidates: 3               # edits made of each image
  donors: 0                   # pasted content comes from so many training images that look most alike; 0: the batch
  regions: [1, 3]             # fewest and most ellipses of an edit
  radii: [0.04, 0.125]        # their half axes as shares of the image
  seam: 1                     # pixels to each side of the border that blend repaints
  learn: true                 # the editing generator goes on learning beside D_emb; false: in the warm-up alone
  lambda_l1: 1.0              # weights of its losses: L1 in holes of real images,
  lambda_rf: 0.1              # real against fake,
  pixel_weight: 0.0           # Eq. 4 into the pixels
paired_groups: false          # batches hold vehicles of one colour and type in pairs, where the data set knows them
generator: {filters: 64, blocks: 9, padding: reflect, residual: false, max_change: 1.0}
discriminator: {filters: 64, layers: 3}   # StarGAN's: these filters, layers by the image size
stargan: {lambda_cls: 1.0, lambda_rec: 10.0, lambda_gp: 10.0}   # StarGAN, Choi et al. 2018
ccl: {model_weight: 1.0}      # of the models' cross-entropy beside the coupled clusters loss, whose margin is alpha
hdc: {shares: [1.0, 0.5, 0.2], margin: 1.0}   # of the pairs that reach each sub-network; contrastive margin
gste: {groups: 2, margin: 0.1}   # of each vehicle's images, and between them; between vehicles it is alpha
lsro: {share: 1.0, noise: 100}   # generated images for each real one, and the length of what they are made from
xvgan: {lambda_cls: 1.0, lambda_rec: 10.0, margin: 1.0}   # weights of its classes and likeness; contrastive margin
vami: {steps: 3, lambda_adv: 0.1, lambda_cls: 1.0, lambda_rec: 1.0, margin: 1.0}   # updates of the attention; the same
gan_optim: adam               # of generators and discriminators: adam | sgd
gan_lr: 0.0002
gan_beta1: 0.5                # Adam's betas for the adversarial networks; beta1 and beta2 above are those of Eq. 4
gan_beta2: 0.999
constant_epochs: -1           # epochs at the full rate before the linear decay; -1: 40% of train.max_epoch
view_embedding_off_epochs: -1 # last epochs without Eq. 10; -1: 20% of the joint epochs
warmup_epochs: 0              # first epochs: the embedding network alone
warmup_generator_epochs: -1   # then: the adversarial networks alone; -1: a quarter of warmup_epochs
discriminator_steps: 1        # on the same batch; StarGAN has 5
refresh_fakes: false          # make the fakes again after the generators' step, the paper's order
fake_statistics: batch        # normalization statistics of the fakes in D_emb: batch (their own) | running
amp: false                    # networks in bfloat16 while training; distances, losses and weights stay float32:
                              # false | true | auto (where a step measured at the start is clearly faster with it)
compile: false                # torch.compile every network; the first steps take minutes
channels_last: true           # memory layout in which the embedding network's convolutions are fastest
fusion: by_view               # by_view | own_first
fusion_weight: 1.0            # of the generated other view in its half, 0 to 1; -1: chosen on training vehicles, and
                              # 0 unless it surely helps them
# Remedies that the paper does not have, off by default; sources in docs/schemes.md
degrade: 0.0                  # strength of the same blur, noise and JPEG on all that D_emb learns from, up to 1
reconstructions: false        # the hard generator also reproduces its input, and D_emb takes that as a positive
lambda_rec: 10.0              # weight of the reconstructions' L1 in the generator's loss
adaptive_weight: 0.0          # beta of the weight 1 - exp(-beta / L) of synthetic losses, L of Eq. 4 or 9; 0: none
vggm_feature: after_relu      # after_relu | before_relu
sync_norm: true               # several processes normalize with the statistics of all their images together
beside: []                    # schemes, such as [en], trained from the same warm-up too, and shown in the table
start_from: ''                # checkpoint_warmup.pth.tar of another scheme's run with the same settings: share it
checkpoint_every: 0           # steps between checkpoints inside an epoch; 0: at epoch ends only
sample_every: 1               # epochs between saved pictures of generated images; 0: never
loggers: [tensorboard]        # where numbers and pictures go: tensorboard | wandb | mlflow, several of them or none
diagnose_every: 1             # epochs between lines of diagnostics.csv, while generators learn; 0: never
test_untrained: true          # evaluate the network before training as well
protocols: []                 # protocols of the targets; empty: those of the dataset
imports: []                   # modules of your own that register datasets or models; as --import
view_order: [front, rear]     # what 0 and 1 mean in VehicleID's view lists
cache_dir: ''                 # folder that keeps decoded, resized images from run to run; '': none is kept
render: {preset: '', layout: veri776, seed: 0, image_size: 0, lookalikes: 0, twins: false}   # render this
                              # benchmark when data.root lacks it, with so many lookalikes of each training image, which
                              # hard_truth needs, and with the twins of all of them, which view_truth needs
"""
_CHOICES = {
    "data.type": ("image",),
    "loss.name": ("triplet",),
    "sampler.train_sampler": (
        "RandomIdentitySampler",
        "RandomSampler",
        "SequentialSampler",
        "RandomDomainSampler",
        "RandomDatasetSampler",
    ),
    "train.lr_scheduler": LR_SCHEDULERS,
    "test.dist_metric": ("euclidean", "cosine"),
    "ealn.scheme": SCHEMES,
    "ealn.distance": ("squared", "euclidean"),
    "ealn.triplets": ("random", "batch_hard", "all_active"),
    "ealn.neck": ("none", "before", "after"),
    "ealn.last_stride": (1, 2),
    "ealn.negatives": ("random", "semi_hard", "hardest", "attribute"),
    "ealn.gan_loss": ("vanilla", "lsgan"),
    "ealn.generator.padding": ("reflect", "zero"),
    "ealn.gan_optim": ("adam", "sgd"),
    "ealn.fake_statistics": ("batch", "running"),
    "ealn.fusion": ("by_view", "own_first"),
    "ealn.hard.generator": ("resnet", "edit"),
    "ealn.hard.content": ("repaint", "blend"),
    "ealn.hard.neutral": ("none", "least", "own"),
    "ealn.hard.choose": ("pixels", "persistent", "embedding", "belt"),
    "ealn.vggm_feature": ("after_relu", "before_relu"),
    "ealn.render.preset": ("", "tiny", "small", "full"),
    "ealn.render.layout": ("veri776", "vehicleid"),
}
_MIXED = {"ealn.amp": (False, True, "auto")}
"""Values of the keys that may be of more than one type."""
# key: (smallest, largest); None: no bound
_RANGES = {
    "data.height": (16, None),
    "data.width": (16, None),
    "data.workers": (0, None),
    "data.k_tfm": (1, 1),
    "train.batch_size": (2, None),
    "train.max_epoch": (1, None),
    "train.lr": (0, None),
    "train.print_freq": (1, None),
    "train.start_epoch": (0, 0),
    "sampler.num_instances": (1, None),
    "test.batch_size": (1, None),
    "test.query_expansion": (0, None),
    "test.expansion_alpha": (0, None),
    "loss.triplet.margin": (0, 4),
    "loss.triplet.weight_t": (0, None),
    "loss.triplet.weight_x": (0, None),
    "ealn.alpha": (0, 4),
    "ealn.beta1": (0, 4),
    "ealn.beta2": (0, 4),
    "ealn.lambda_ed": (0, None),
    "ealn.lambda_cyc": (0, None),
    "ealn.gan_lr": (0, None),
    "ealn.gan_beta1": (0, 0.9999),
    "ealn.gan_beta2": (0, 0.999999),
    "train.seed": (0, 2**32 - 1),
    "ealn.hard.candidates": (1, None),
    "ealn.hard.donors": (0, None),
    "ealn.hard.seam": (1, None),
    "ealn.hard.lambda_l1": (0, None),
    "ealn.hard.lambda_rf": (0, None),
    "ealn.hard.pixel_weight": (0, None),
    "ealn.generator.filters": (1, None),
    "ealn.generator.blocks": (0, None),
    "ealn.generator.max_change": (0, 2),
    "ealn.discriminator.filters": (1, None),
    "ealn.discriminator.layers": (1, None),
    "ealn.lr_warmup_epochs": (0, None),
    "ealn.constant_epochs": (-1, None),
    "ealn.view_embedding_off_epochs": (-1, None),
    "ealn.warmup_epochs": (0, None),
    "ealn.warmup_generator_epochs": (-1, None),
    "ealn.degrade": (0, 1),
    "ealn.lambda_rec": (0, None),
    "ealn.adaptive_weight": (0, None),
    "ealn.ccl.model_weight": (0, None),
    "ealn.hdc.margin": (0, 2),
    "ealn.gste.groups": (1, None),
    "ealn.gste.margin": (0, 4),
    "ealn.lsro.share": (0.01, None),
    "ealn.lsro.noise": (1, None),
    "ealn.stargan.lambda_cls": (0, None),
    "ealn.stargan.lambda_rec": (0, None),
    "ealn.stargan.lambda_gp": (0, None),
    "ealn.vami.steps": (1, None),
    "ealn.vami.lambda_adv": (0, None),
    "ealn.vami.lambda_cls": (0, None),
    "ealn.vami.lambda_rec": (0, None),
    "ealn.vami.margin": (0, 4),
    "ealn.xvgan.lambda_cls": (0, None),
    "ealn.xvgan.lambda_rec": (0, None),
    "ealn.xvgan.margin": (0, 4),
    "ealn.discriminator_steps": (1, None),
    "ealn.checkpoint_every": (0, None),
    "ealn.sample_every": (0, None),
    "ealn.diagnose_every": (0, None),
    "ealn.fusion_weight": (-1, 1),
    "ealn.render.seed": (0, None),
    "ealn.render.image_size": (0, None),
    "ealn.render.lookalikes": (0, None),
}
_LISTS = {
    "train.stepsize": int,
    "test.ranks": int,
    "data.sources": str,
    "data.targets": str,
    "data.transforms": str,
    "train.open_layers": str,
    "train.new_layers": str,
    "ealn.protocols": str,
    "ealn.imports": str,
    "ealn.beside": str,
    "ealn.loggers": str,
    "ealn.hard.regions": int,
    "ealn.hard.radii": float,
    "ealn.hdc.shares": float,
    "data.norm_mean": float,
    "data.norm_std": float,
}


def default_config() -> CfgNode:
    """A fresh tree of defaults (yacs CfgNode): torchreid's keys and the ``ealn`` node."""
    tree = yaml.safe_load(_TORCHREID)
    tree["ealn"] = yaml.safe_load(_EALN)
    return CfgNode(tree)
