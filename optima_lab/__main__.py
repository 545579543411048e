"""`python -m optima_lab` is the command `optima-lab`."""

import sys

from optima_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
