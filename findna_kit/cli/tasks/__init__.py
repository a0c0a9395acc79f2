"""The commands `tasks list` and `tasks audit`."""
