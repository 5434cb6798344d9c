"""Train and test EALN: python tools/train_ealn.py --config-file configs/ealn_veri.yaml [KEY VALUE ...]

On N devices: torchrun --nproc_per_node N tools/train_ealn.py and the same arguments.

The same as ``ealn train``; the code is in ealn_plugin/commands/.
"""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

from ealn_cli import main  # noqa: E402  (from this checkout)

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
