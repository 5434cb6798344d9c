"""Evaluate EALN runs, any torchreid model, or stored features by every protocol of the field.

The same as ``ealn evaluate``; the code is in ealn_plugin/commands/.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from ealn_cli import main  # noqa: E402  (from this checkout)

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
