"""Debian's Chromium, without a window and without a network."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium():
    """The browser; the test is skipped, with the reason, where it or what drives it is not there."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install --no-install-recommends chromium")
    drive = pytest.importorskip("playwright.sync_api", reason="playwright, of the extra dev, drives the browser")
    with drive.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])  # root has none
        try:
            yield browser
        finally:
            browser.close()


class Opened:
    """A page in a window: what it asked for, what it said."""

    def __init__(self, browser, path, *, width=1280, scheme="light", motion="no-preference"):
        self.context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True, reduced_motion=motion
        )
        self.page, self.asked, self.said = self.context.new_page(), [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        for event in ("console", "pageerror", "dialog", "crash"):
            self.page.on(event, lambda what, event=event: self.said.append(f"{event}: {what}"))
        self.page.goto(path.absolute().as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def open_all(self):
        """Everything that is folded."""
        self.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")

    def ask(self, script):
        """What the script gives, for every drawing or element that it finds wrong."""
        return self.page.evaluate(f"() => {{ {TOLD} {script} }}")


TOLD = """
const told = (one) => `${one.tagName}.${one.getAttribute('class')}: ${one.textContent.trim().slice(0, 60)}`;
const every = (selector) => [...document.querySelectorAll(selector)];
const shown = (one) => one.getClientRects().length > 0 && !one.closest('.unseen') && !one.closest('.skip');
const own = (one) => [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
const words = () => every('body *:not(title, desc)').filter(one => own(one) && shown(one));
const luminance = (rgb) => {
  const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const ratio = (one, other) => {
  const [a, b] = [luminance(one), luminance(other)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
};
const behind = (one) => {
  for (let at = one; at; at = at.parentElement) {
    const rgb = numbers(getComputedStyle(at).backgroundColor);
    if (rgb.length === 3 || rgb[3] === 1) return rgb.slice(0, 3);
  }
  return null;
};
// [left, top, right, bottom] on the page, in pixels, of what of a box is not scrolled out of its own; null where nothing is.
const seen = (one, box) => {
  let {left, top, right, bottom} = box;
  const around = one.closest('.scroll');
  if (around) {
    const frame = around.getBoundingClientRect();
    left = Math.max(left, frame.left); right = Math.min(right, frame.right);
  }
  if (right - left < 4 || bottom - top < 4) return null;
  return [...[left + scrollX, top + scrollY].map(Math.floor), ...[right + scrollX, bottom + scrollY].map(Math.ceil)];
};
const boxes = (found, more = () => null) => found.filter(shown)
  .map(one => [seen(one, one.getBoundingClientRect()), told(one), more(one)]).filter(([box]) => box);
const strokes = (drawing) => [...new Set([...drawing.querySelectorAll('.curve, .mark, .dot, .interval')]
  .map(one => getComputedStyle(one).stroke))].map(one => numbers(one).slice(0, 3));
// Every line of words, as [element, box], folded ones on paper too.
const printed = () => words().flatMap(one => [...one.childNodes].filter(node => node.nodeType === 3 && node.textContent.trim())
  // Line by line of the source: in preformatted text a line of spaces alone has a box, but no ink.
  .flatMap(node => [...node.textContent.matchAll(/\\S[^\\n]*/g)].flatMap(words => {
    const range = document.createRange();
    range.setStart(node, words.index);
    range.setEnd(node, words.index + words[0].trimEnd().length);
    return [...range.getClientRects()].map(box => [one, box]);
  })));
// And of those that are not scrolled out of theirs [box on the page, what it is].
const lines = () => printed().map(([one, box]) => [seen(one, box), told(one)]).filter(([box]) => box);
"""
