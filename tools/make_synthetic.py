"""Render a vehicle re-identification data set in the folder layout of VeRi-776 or VehicleID.

The same as ``ealn make-synthetic``; the code is in ealn_plugin/commands/.
"""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

from ealn_cli import main  # noqa: E402  (from this checkout)

if __name__ == "__main__":
    sys.exit(main(["make-synthetic", *sys.argv[1:]]))
