"""`python -m vergence` is `vergence`."""

import sys

from vergence.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
