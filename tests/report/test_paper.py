"""The page on A4: light, unfolded, and nothing of it beside the paper."""

import pypdfium2
import pytest

from tests.report.browser import Opened

pytestmark = pytest.mark.slow  # half a minute, most of it to make what is printed
WIDTH = round(190 / 25.4 * 96)
"""Pixels between the margins of the style sheet, 10 mm each, of 210 mm of paper."""
_MARGIN = 10 / 25.4 * 72


@pytest.fixture
def printed(browser, either):
    with Opened(browser, either, width=WIDTH) as opened:
        opened.page.emulate_media(media="print")
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_paper_it_is_light_and_nothing_is_folded(browser, path, scheme):
    with Opened(browser, path, scheme=scheme) as opened:
        opened.page.emulate_media(media="print", color_scheme=scheme)
        assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert opened.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert not opened.page.locator("nav").is_visible()
        hidden = "return every('pre, table').filter(one => !one.checkVisibility({contentVisibilityAuto: true})).map(told)"
        assert opened.ask(hidden) == []


def test_everything_is_between_the_margins(printed):
    assert len(printed.ask("return every('table').filter(shown)")) > 15
    beside = """
      const out = (box) => box.left < -0.5 || box.right > innerWidth + 0.5;
      const parts = every('table, td, th, pre, figure, .panel, .drawing, .legend li, p, h1, h2, h3, summary').filter(shown);
      const text = printed().filter(([one, box]) => out(box)).map(([one]) => told(one));
      return [...parts.filter(one => out(one.getBoundingClientRect())).map(told), ...text];
    """
    assert printed.ask(beside) == []


def test_numbers_and_short_words_are_whole(printed):
    """What gives way where a table is wide is long words."""
    broken = r"""
      const whole = /^([-+]?[\d.,]+|[a-z]{1,6}( \d)?)$/;
      const counted = new Map();
      printed().forEach(([one]) => counted.set(one, (counted.get(one) || 0) + 1));
      const cells = every('td, th').filter(one => whole.test(one.textContent.trim()) && counted.has(one));
      return [cells.length, cells.filter(one => counted.get(one) > 1).map(told)];
    """
    count, found = printed.ask(broken)
    assert count > 50 and found == []


def test_the_pages_hold_every_cell_of_every_table(browser, either):
    with Opened(browser, either) as opened:
        document = opened.page.pdf(format="A4")
        cells = opened.ask("return every('td, th, pre').map(one => one.textContent).filter(one => one.trim())")
    width, said, ends = read_pdf(document)
    assert len(said) > 5 and width == pytest.approx(210 / 25.4 * 72, abs=1)
    # Chromium rounds the width of a page's text to whole CSS pixels, 0.75 pt each.
    assert min(ends) > _MARGIN - 0.75 and max(ends) < width - _MARGIN + 0.75
    whole = joined("".join(said))
    assert len(cells) > 200 and [cell for cell in cells if joined(cell) not in whole] == []


def read_pdf(document):
    """The pages' width, their texts, and where every letter begins and ends, in points."""
    with pypdfium2.PdfDocument(document) as pages:
        width, said, ends = pages[0].get_width(), [], []
        for page in pages:
            text = page.get_textpage()
            said.append(text.get_text_range().replace("\ufffe", "-"))  # a hyphen at the end of a line
            for place in range(text.count_chars()):
                left, _, right, _ = text.get_charbox(place)
                if right > left:  # no space
                    ends += [left, right]
            text.close()
            page.close()
    return width, said, ends


def joined(words):
    return "".join(words.split())
