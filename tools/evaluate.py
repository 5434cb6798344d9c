"""Evaluate EALN runs, any torchreid model, or stored features by every protocol of the field.

The same as ``ealn evaluate``; the code is in ealn_plugin/commands/.
"""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

from ealn_cli import main  # noqa: E402  (from this checkout)

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
