"""Drawings as inline SVG: vectors, no script, every text a text."""
