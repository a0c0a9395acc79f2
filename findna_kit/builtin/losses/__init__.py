"""Losses, one file each; `heads` holds what several use."""
