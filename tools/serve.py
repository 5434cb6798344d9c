"""Open an index in the browser: a page that finds vehicles, and the JSON interface behind it.

The same as ``ealn serve``; the code is in ealn_plugin/commands/.
"""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]

from ealn_cli import main  # noqa: E402  (from this checkout)

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
