"""What the checkpoints in a run folder are called."""

LAST = "checkpoint_last.pth.tar"
BEST = "checkpoint_best.pth.tar"
WARMUP = "checkpoint_warmup.pth.tar"
