"""The commands `runs list`, `runs best` and `runs compare`."""
