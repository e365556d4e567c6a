"""`python -m micrograd`: hands over to `command`."""

import sys

from micrograd.command.main import main

if __name__ == "__main__":
    sys.exit(main())
