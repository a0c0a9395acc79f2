"""Drawings as inline SVG, without scripts, whose text can be selected and read aloud."""
