"""Write a trained network for deployment: ONNX files and torch.export programs, each checked against PyTorch.

The same as ``ealn export``; the code is in ealn_plugin/commands/.
"""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

from ealn_cli import main  # noqa: E402  (from this checkout)

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
