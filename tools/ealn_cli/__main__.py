"""``python -m ealn_cli NAME ...`` is ``ealn NAME ...``; under torchrun there is no other way to start it."""

import sys

from ealn_cli import main

if __name__ == "__main__":
    sys.exit(main())
