"""The page in a real browser, at the widths of a desk and of a phone, light and dark, and by the keyboard alone."""

import pytest

from findna_kit.report import ReportRequest, write_report
from tests.report.browser import Opened
from tests.report.crafted import EVIL
from tests.report.pixels import picture

pytestmark = pytest.mark.slow  # a minute, half of it to make what is shown
WIDTHS = pytest.mark.parametrize("width", [1280, 390])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@WIDTHS
def test_it_asks_for_nothing_but_itself_and_says_nothing(browser, either, width):
    with Opened(browser, either, width=width) as opened:
        opened.open_all()
        opened.page.wait_for_load_state("networkidle")
        assert opened.asked == [either.absolute().as_uri()]
        assert opened.said == []


def test_a_script_in_a_name_is_text(browser, path):
    with Opened(browser, path.with_name("crafted.html")) as opened:
        opened.open_all()
        assert opened.said == []
        assert opened.page.locator("script, img, iframe, b").count() == 0
        assert opened.page.get_by_text(EVIL).count() > 5
        assert opened.page.evaluate(
            "document.querySelectorAll('svg').length === document.querySelectorAll('.drawing, .sample').length"
        )


@WIDTHS
def test_nothing_is_wider_than_the_window(browser, either, width):
    with Opened(browser, either, width=width) as opened:
        opened.open_all()
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.ask("return every('.drawing, figure, p, h1, h2, h3, .scroll, nav a').filter(one => {"
                          " const box = one.getBoundingClientRect();"
                          " return shown(one) && (box.left < 0 || box.right > innerWidth + 0.5) })"
                          ".map(told)") == []  # fmt: skip
        wide = "return every('.scroll').filter(one => one.scrollWidth > one.clientWidth).length"
        assert opened.ask(wide) > 0 or width > 390, "some tables are, and scroll in their own box"


def test_on_a_phone_what_matters_shows_before_anything_scrolls(browser, path):
    with Opened(browser, path, width=390) as opened:
        own = "return every('table').filter(one => one.caption.textContent.endsWith('scores on task'))"
        ends = opened.ask(
            f"{own}.map(one => [one.rows[0].cells[2].textContent, one.rows[0].cells[2].getBoundingClientRect().right])"
        )
        assert ends and all(name == "MCC" and right <= 390 for name, right in ends), "the task's own score"
    with Opened(browser, path.with_stem("wide"), width=390) as opened:
        facts = "return every('table.words').filter(one => one.rows[0].cells.length === 2)"
        wider = opened.ask(f"{facts}.map(one => [one.offsetWidth > one.parentElement.clientWidth, told(one)])")
        assert len(wider) > 2 and [name for too, name in wider if too] == [], "what a study declared"


@WIDTHS
def test_tables_and_figures_are_there(browser, path, width):
    with Opened(browser, path, width=width) as opened:
        page = opened.page
        for name in ("Runs, and the versions they were made with", "Result", "Cost of training"):
            assert page.get_by_role("table", name=name).first.is_visible(), name
        for name in ("training", "k-NN", "teacher", "all tasks: knn/mcc", "one"):
            picture = page.get_by_role("img", name=name, exact=True).first
            assert picture.is_visible(), name
            box = picture.bounding_box()
            assert box["width"] > 280 and box["height"] > 60, name
        drawn = "return every('.drawing').filter(one => !one.querySelector('path.curve, path.mark, path.dot')).map(told)"
        assert opened.ask(drawn) == [], "every drawing shows something"


@WIDTHS
def test_letters_are_large_enough_in_drawings_too(browser, either, width):
    with Opened(browser, either, width=width) as opened:
        opened.open_all()
        small = opened.ask(
            "return words().filter(one => { const size = parseFloat(getComputedStyle(one).fontSize);"
            " return size * (one.tagName === 'text' ? one.getScreenCTM().a : 1) < 10 }).map(told)"
        )
        assert small == []
        assert opened.ask("return words().filter(one => one.tagName === 'text').length") > 50, "drawings were measured"


@WIDTHS
def test_words_in_drawings_do_not_cover_each_other(browser, either, width):
    with Opened(browser, either, width=width) as opened:
        wrong = opened.ask("""
            const wrong = [];
            for (const drawing of document.querySelectorAll('.drawing')) {
              const frame = drawing.getBoundingClientRect();
              const boxes = [...drawing.querySelectorAll('text')].map(one => [one, one.getBoundingClientRect()]);
              for (const [place, [one, a]] of boxes.entries()) {
                if (Math.min(a.left - frame.left, frame.right - a.right, a.top - frame.top, frame.bottom - a.bottom) < -1)
                  wrong.push(`outside: ${told(one)}`);
                for (const [other, b] of boxes.slice(place + 1))
                  if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
                      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3)
                    wrong.push(`${told(one)} over ${told(other)}`);
              }
            }
            return wrong;
        """)
        assert wrong == []


@SCHEMES
def test_words_and_lines_stand_out_from_the_paper(browser, either, scheme):
    with Opened(browser, either, scheme=scheme) as opened:
        opened.open_all()
        pale = opened.ask(
            "return words().map(one => { const style = getComputedStyle(one);"
            " const ink = one.tagName === 'text' ? style.fill : style.color;"
            " return [ratio(numbers(ink).slice(0, 3), behind(one)), told(one)] }).filter(([found]) => found < 4.5)"
        )
        assert pale == []
        lines = opened.ask(
            "return every('.curve, .mark, .dot, .interval, .level, .axis, .zero')"
            ".map(one => [ratio(numbers(getComputedStyle(one).stroke).slice(0, 3), behind(one)), one.getAttribute('class')])"
        )
        assert len(lines) > 100 and min(lines)[0] >= 3
        paper = opened.ask("return luminance(behind(document.body))")
        assert paper < 0.05 if scheme == "dark" else paper > 0.9


@pytest.mark.parametrize("name", ["page", "wide"])
@WIDTHS
@SCHEMES
def test_tables_and_figures_are_ink_on_paper(browser, path, name, width, scheme):
    """By the pixels of a screenshot, whatever the style sheet says."""
    with Opened(browser, path.with_stem(name), width=width, scheme=scheme) as opened:
        opened.open_all()
        pixels = picture(opened, f"{name}-{width}-{scheme}")
        tables = opened.ask("return boxes(every('table'))")
        drawings = opened.ask("return boxes(every('.drawing'), strokes)")
        texts = opened.ask("return lines()")
    assert len(tables) > 10 and len(drawings) > 10 and len(texts) > 300
    for box, table, _ in tables:
        found = pixels.contrast(box)
        assert found.max() >= 4.5 and (found >= 3).mean() > 0.005, f"no ink: {table}"
    for box, drawing, strokes in drawings:
        inked = [pixels.of(box, stroke) for stroke in strokes]
        assert sum(inked) > 20 and min(inked) > 0, f"a series is not to be seen: {drawing}"
        assert pixels.contrast(box).max() >= 4.5, f"no words: {drawing}"
    assert [f"{found:.2f} {words}" for box, words in texts if (found := pixels.contrast(box).max()) < 4.5] == []


def test_series_differ_in_more_than_colour(browser, path):
    with Opened(browser, path) as opened:
        drawing = opened.page.get_by_role("img", name="training", exact=True).first
        dashes = drawing.locator("path.curve").evaluate_all("every => every.map(one => getComputedStyle(one).strokeDasharray)")
        marks = drawing.locator("path.mark").evaluate_all(
            "every => every.map(one => one.getAttribute('d').split('M')[1].length)"
        )
        assert len(dashes) == len(set(dashes)) == 2
        assert len(set(marks)) == 2


def test_the_keyboard_reaches_all_that_scrolls_and_folds(browser, path):
    with Opened(browser, path, width=390) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        box = page.evaluate("(({left, top}) => [left, top])(document.activeElement.getBoundingClientRect())")
        assert min(box) >= 0, "the way past the contents shows when it is reached"
        wanted = opened.ask("return every('a, summary, .scroll').filter(one => one.checkVisibility()).length")
        page.evaluate("document.querySelectorAll('a, summary, .scroll').forEach(one => { one.dataset.wanted = '' })")
        for _ in range(wanted):
            outline = page.evaluate(
                "(style => [style.outlineStyle, parseFloat(style.outlineWidth)])(getComputedStyle(document.activeElement))"
            )
            assert outline[0] != "none" and outline[1] >= 2, "it shows where one is"
            page.evaluate("document.activeElement.dataset.reached = ''")
            page.keyboard.press("Tab")
        missed = opened.ask("return every('[data-wanted]:not([data-reached])').filter(one => one.checkVisibility()).map(told)")
        assert missed == []


def test_the_keyboard_opens_and_scrolls(browser, path):
    with Opened(browser, path, width=390) as opened:
        page = opened.page
        for folded in page.locator("details:has(.scroll)").all():
            folded.locator("summary").focus()
            page.keyboard.press("Enter")
            assert folded.evaluate("one => one.open")
            table = folded.locator(".scroll").first
            if table.evaluate("one => one.scrollWidth > one.clientWidth"):
                break
        table.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("one => one.scrollLeft > 0", arg=table.element_handle(), timeout=5000)


def test_nothing_moves_for_who_does_not_want_it(browser, path):
    with Opened(browser, path, motion="reduce") as opened:
        assert opened.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_who_listens_finds_the_parts(browser, path):
    with Opened(browser, path) as opened:
        page = opened.page
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.get_by_role("navigation", name="Contents").count() == 1
        assert page.get_by_role("main").count() == page.get_by_role("banner").count() == 1
        assert page.get_by_role("region", name="Cost").first.get_by_role("table").count() == 1
        heads = page.get_by_role("table", name="Cost of training").first.get_by_role("columnheader").all_inner_texts()
        assert heads[0] == "training time"
        described = page.get_by_role("img", name="training", exact=True).first
        assert "one: from " in described.locator("desc").text_content()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_first_screen_says_whether_it_worked_and_against_what(browser, made, tmp_path, width, height):
    write_report(ReportRequest([made / "one"], tmp_path / "one.html"))
    with Opened(browser, tmp_path / "one.html", width=width) as opened:
        opened.page.set_viewport_size({"width": width, "height": height})
        last = opened.page.get_by_text("Pooled embeddings of the teacher").bounding_box()
        assert last["y"] + last["height"] <= height
        assert opened.page.get_by_text("the encoder is").bounding_box()["y"] < last["y"]
