"""The commands `recipes list` and `recipes copy`."""
