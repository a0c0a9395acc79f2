"""Sphinx configuration of these pages: `make docs`.

The pages are plain Markdown, readable on GitHub. A link to a file outside `docs/` is replaced by its text and the path in the
repository, because the project has no public address. A mermaid diagram stays text, because drawing it needs a script from the
network; the built pages load nothing from there.
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


def path_outside_docs(node: nodes.Element, page: Path) -> str | None:
    """Return the target of a link as a path in the repository, or None if it is a page or does not exist."""
    target = str(node["reftarget"]).partition("#")[0]
    for ending in ("", ".md"):  # MyST has removed the suffix of a target that could be a page
        path = (page.parent / f"{target}{ending}").resolve()
        if target and path.exists() and path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "docs"):
            return path.relative_to(ROOT).as_posix()
    return None


def replace_links_outside_docs(app: Sphinx, tree: nodes.document) -> None:
    """Replace each link that leaves `docs/` by its text and path. A broken link is left for Sphinx to report."""
    page = Path(app.env.doc2path(app.env.docname))
    for node in [*tree.findall(addnodes.pending_xref), *tree.findall(addnodes.download_reference)]:
        path = path_outside_docs(node, page)
        if path is not None:
            text = node.astext()
            literal = nodes.literal(text=path)
            node.replace_self(
                [literal] if text in (path, Path(path).name) else [nodes.inline(text=f"{text} ("), literal, nodes.Text(")")]
            )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the Mermaid lexer and the link replacement with Sphinx."""
    app.add_lexer("mermaid", TextLexer)
    # Run before Sphinx collects downloads (priority 500); otherwise it would copy the linked files.
    app.connect("doctree-read", replace_links_outside_docs, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
