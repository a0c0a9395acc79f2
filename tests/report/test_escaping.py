"""What stands in a file is text on the page, whatever it is."""

import shutil

from findna_kit.report.page import read, render
from tests.report.crafted import BAD, EVIL, IMAGE, QUOTES, crafted, crafted_study
from tests.report.reading import Page

TAGS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "p", "nav", "ul", "li", "main", "code",
    "section", "footer", "div", "table", "caption", "span", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre",
    "figure", "figcaption", "svg", "desc", "text", "path",
}  # fmt: skip


def whole(page):
    return {one["tag"] for one in page.elements}


def test_names_in_a_run_are_text(made, tmp_path):
    run = crafted(shutil.copytree(made / "two", tmp_path / "two"))
    page = Page(render(read([run, made / "one"])))
    assert whole(page) <= TAGS
    (body,) = page.words("body")
    for bad in BAD:
        assert body.count(bad) > 4, bad
        assert bad not in page.text.replace(bad.replace("<", "&lt;"), "")
    assert [name for name in page.words("summary") if IMAGE in name], "the folder's own name"
    assert any(EVIL in text for text in page.words("pre")), "the recipe"


def test_names_in_a_study_are_text(study, tmp_path):
    page = Page(render(read([crafted_study(shutil.copytree(study, tmp_path / "tiny"))])))
    assert whole(page) <= TAGS
    (body,) = page.words("body")
    assert all(bad in body for bad in (EVIL, IMAGE, QUOTES, "<b>1</b>"))


def test_the_title_is_a_title(made, tmp_path):
    run = crafted(shutil.copytree(made / "two", tmp_path / "two"))
    page = Page(render(read([run])))
    assert page.words("h1") == [EVIL]
    assert page.words("title")[0] == f"{EVIL} - FinDNA-Kit report"
