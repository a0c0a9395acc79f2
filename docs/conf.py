"""How Sphinx builds these pages: `make docs`.

The pages are plain Markdown that reads on GitHub as it is. Two things are done to them here: a link that leaves `docs/` becomes
its text and the path in the repository, since the project has no public address; and a mermaid drawing stays text, since
drawing it would need a script from elsewhere. What is built loads nothing from the network.
"""

from __future__ import annotations

from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx import addnodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "FinDNA-Kit"
release = version = installed("findna-kit")
extensions = ["myst_parser", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_show_copyright = False
nitpicky = True
myst_heading_anchors = 4


def outside(node: nodes.Element, page: Path) -> str | None:
    """The path in the repository of what a link leads to, if that is there and no page."""
    target = str(node["reftarget"]).partition("#")[0]
    for ending in ("", ".md"):  # a file that could be a page has lost its ending
        path = (page.parent / f"{target}{ending}").resolve()
        if target and path.exists() and path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "docs"):
            return path.relative_to(ROOT).as_posix()
    return None


def name_what_is_outside(app: Sphinx, tree: nodes.document) -> None:
    """Puts the path in place of each link that leaves `docs/`. What is not there stays a link, and Sphinx says so."""
    page = Path(app.env.doc2path(app.env.docname))
    for node in [*tree.findall(addnodes.pending_xref), *tree.findall(addnodes.download_reference)]:
        path = outside(node, page)
        if path is not None:
            said = node.astext()
            literal = nodes.literal(text=path)
            node.replace_self(
                [literal] if said in (path, Path(path).name) else [nodes.inline(text=f"{said} ("), literal, nodes.Text(")")]
            )


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_lexer("mermaid", TextLexer)
    # Before Sphinx collects what is to be downloaded, which would copy the file.
    app.connect("doctree-read", name_what_is_outside, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
