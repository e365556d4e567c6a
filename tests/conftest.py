"""For all tests."""

import os

os.environ["MICROGRAD_CACHE"] = "off"  # what is tested is compiled here and now, and leaves nothing behind
