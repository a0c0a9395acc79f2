"""Maskings, one file each."""
