"""Find a vehicle: build a searchable index of images and ask it for the nearest ones.

The same as ``ealn search``; the code is in ealn_plugin/commands/.
"""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

from ealn_cli import main  # noqa: E402  (from this checkout)

if __name__ == "__main__":
    sys.exit(main(["search", *sys.argv[1:]]))
