"""Tell the fronts of vehicles from their rears and sides, and write viewpoints.csv where view labels are missing.

The same as ``ealn label-viewpoints``; the code is in ealn_plugin/commands/.
"""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

from ealn_cli import main  # noqa: E402  (from this checkout)

if __name__ == "__main__":
    sys.exit(main(["label-viewpoints", *sys.argv[1:]]))
