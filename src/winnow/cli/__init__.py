"""The command line: one file per group of commands; `main.py` puts them together."""
