"""The paper's tables: python tools/reproduce.py --config-file configs/ealn_synthetic_grid.yaml --preset demo

The same as ``ealn reproduce``; the code is in ealn_plugin/commands/.
"""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

from ealn_cli import main  # noqa: E402  (from this checkout)

if __name__ == "__main__":
    sys.exit(main(["reproduce", *sys.argv[1:]]))
