"""The commands `plugins list`, `plugins doctor`, `plugins new` and `plugins test`."""
