"""The command line: `python -m micrograd`."""
