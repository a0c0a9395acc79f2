"""What a reader's eye gets: a whole page as one picture, and what of it is ink."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

KEPT = os.environ.get("FINDNA_KIT_SCREENSHOTS")
"""A folder that the pictures are left in for somebody to look at."""
_STRIP = 8000


def picture(opened, name):
    """The whole page, and under `name` in the folder for pictures where there is one.

    In strips: what is higher than 16,384 pixels no browser paints at once.
    """
    page = opened.page
    width, height = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    strips = []
    for top in range(0, height, _STRIP):
        clip = {"x": 0, "y": top, "width": width, "height": min(_STRIP, height - top)}
        taken = page.screenshot(full_page=True, clip=clip, animations="disabled")
        strips.append(np.asarray(Image.open(io.BytesIO(taken)).convert("RGB")))
    whole = np.concatenate(strips)
    assert whole.shape == (height, width, 3)
    if KEPT:
        Path(KEPT).mkdir(parents=True, exist_ok=True)
        Image.fromarray(whole).save(Path(KEPT) / f"{name}.png")
    return Seen(whole)


class Seen:
    """A picture [height, width, 3], and what of it differs from the paper."""

    def __init__(self, pixels):
        self._pixels = pixels
        self._colours = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
        self._luminance = _LUMINANCE[pixels] @ np.array([0.2126, 0.7152, 0.0722], np.float32)

    def contrast(self, box):
        """Of each pixel of a box to its paper, which is what most of the box is of: 1 to 21 (WCAG 2.2)."""
        found = self._luminance[cut(box)]
        _, first, counts = np.unique(self._colours[cut(box)], return_index=True, return_counts=True)
        paper = found.ravel()[first[counts.argmax()]]
        return (np.maximum(paper, found) + 0.05) / (np.minimum(paper, found) + 0.05)

    def of(self, box, colour):
        """How many pixels of a box are nearly of a colour."""
        return int((np.abs(self._pixels[cut(box)].astype(np.int32) - colour).max(-1) < 40).sum())


_SHARE = np.arange(256) / 255
_LUMINANCE = np.where(_SHARE <= 0.04045, _SHARE / 12.92, ((_SHARE + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Of each 8-bit value of sRGB, before the three colours are weighted (WCAG 2.2)."""


def cut(box):
    """A box [left, top, right, bottom] as what it holds of a picture."""
    left, top, right, bottom = box
    return slice(top, bottom), slice(left, right)
