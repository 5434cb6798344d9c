"""Draw the paper's figures 4 to 11 from run folders, with the numbers beside each as CSV.

The same as ``ealn visualize``; the code is in ealn_plugin/commands/.
"""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

from ealn_cli import main  # noqa: E402  (from this checkout)

if __name__ == "__main__":
    sys.exit(main(["visualize", *sys.argv[1:]]))
