"""Sections of a page: each module builds the blocks below one heading."""
