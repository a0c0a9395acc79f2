"""The Python API: what `import findna_kit` offers, and what the command line calls.

This package is empty at import, so that `import findna_kit` and `findna-kit --help` stay fast; `findna_kit` imports its modules
on first use.
"""
