"""The command line: `python -m micrograd`. `main` lists the commands, each in a module of its name."""
