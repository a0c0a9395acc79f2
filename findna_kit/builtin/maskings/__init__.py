"""Masking policies, one file each."""
