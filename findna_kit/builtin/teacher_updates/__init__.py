"""Teacher-update rules, one file each."""
