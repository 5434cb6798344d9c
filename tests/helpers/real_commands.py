"""Command lines and programs of users as real processes with a time limit, and small settings for them."""

import os
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 300  # seconds; on a quiet machine each of them takes less than 10
SMALL = shlex.split(
    "use_gpu False data.height 32 data.width 32 data.workers 0 model.name osnet_x0_25 model.pretrained False "
    "train.batch_size 8 sampler.num_instances 2 test.batch_size 32 train.optim adam train.max_epoch 2 "
    "ealn.generator.filters 4 ealn.generator.blocks 1 ealn.generator.residual True ealn.discriminator.filters 4 "
    "ealn.discriminator.layers 1 ealn.test_untrained False"
)


def started(*command, cwd=None, **environment):
    """The process of a command; its output and errors in one pipe."""
    return subprocess.Popen(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process, patience=PATIENCE):
    """(exit status, what it printed) of a process; an AssertionError where it does not end in time.

    Reading until the end of its output also waits for the processes that it started.
    """
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("it does not end; so far it printed: " + process.communicate()[0][-3000:]) from None
    return process.returncode, output


def tool(name, *arguments, **options):
    """``started`` of one of tools/."""
    return started(sys.executable, os.path.join(ROOT, "tools", f"{name}.py"), *arguments, **options)


def train(root, save_dir, *options, **environment):
    """(exit status, output) of tools/train_ealn.py with small networks."""
    arguments = ["--root", root, *SMALL, "data.save_dir", save_dir, *options]
    return ended(tool("train_ealn", *arguments, **environment))


def sentence_in(output):
    """The one sentence of a command that failed; an AssertionError where it printed more or less than that."""
    lines = [line for line in output.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in output, output[-3000:]
    return lines[0]
