"""Teacher updates, one file each."""
