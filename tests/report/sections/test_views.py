"""The drawing of views in the page: the same lines as the run keeps, and a note where it keeps none."""

import html
import re
import shutil

import pytest

from findna_kit.errors import FindnaError
from findna_kit.records.views_json import ViewsJson, read_views, write_views
from findna_kit.report.page import read, render
from tests.report.crafted import EVIL, QUOTES


def test_the_page_shows_the_lines_that_the_run_keeps(made):
    page = render(read([made / "one"]))
    (block,) = re.findall(
        r'<pre class="scroll" role="region" tabindex="0" aria-label="One window[^>]*><code>(.*?)</code>', page, re.S
    )
    shown = html.unescape(re.sub(r"<[^>]*>", "", block)).splitlines()
    kept = ["".join(text for text, _ in line) for line in read_views(made / "one").lines]
    assert shown == kept
    assert any(line.startswith("window ") for line in shown)
    assert max(map(len, shown)) <= 80
    assert '<span class="v-masked">#' in block


def test_runs_with_the_same_views_share_a_drawing(made):
    page = render(read([made / "one", made / "two", made / "bare"]))
    assert len(re.findall('<p class="caption">One window and its views in ', page)) == 2
    assert "One window and its views in one, two" in page


def test_a_run_without_a_drawing_says_how_to_make_one(made, tmp_path):
    shutil.copytree(made / "bare", tmp_path / "bare")
    (tmp_path / "bare" / "views.json").unlink()
    page = render(read([tmp_path / "bare"]))
    assert "its folder has no views.json" in page
    assert "findna-kit views" in page


def test_whatever_the_file_holds_is_text(made, tmp_path):
    shutil.copytree(made / "bare", tmp_path / "bare")
    write_views(tmp_path / "bare", ViewsJson(lines=[[(EVIL, QUOTES)]]))
    page = render(read([tmp_path / "bare"]))
    assert EVIL not in page
    assert html.escape(EVIL) in page
    assert f'class="v-{QUOTES}' not in page


def test_a_damaged_file_is_an_error_that_names_it(made, tmp_path):
    shutil.copytree(made / "bare", tmp_path / "bare")
    (tmp_path / "bare" / "views.json").write_text("{")
    with pytest.raises(FindnaError, match=r"views\.json: not valid JSON .*; remove it; only the report reads it"):
        render(read([tmp_path / "bare"]))
