"""The pages that tools/write_reference.py writes are up to date and complete."""

import ast
import inspect
import re
import sys

import pytest

from findna_kit.components.interfaces import Augmentation
from findna_kit.plugins.entry_points import PluginSource
from findna_kit.plugins.loading import load_plugins
from tests.building import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def tools():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        import stubs
        import write_reference

        for name in ("stubs", "write_reference"):
            patch.delitem(sys.modules, name)
        yield write_reference, stubs


@pytest.fixture(scope="module")
def pages(tools):
    return tools[0].pages()


def test_no_page_is_stale(pages):
    for name, text in pages.items():
        assert (DOCS / name).read_text() == text, f"docs/{name} is stale: make reference"
    assert {path.relative_to(DOCS).as_posix() for path in (DOCS / "reference").iterdir()} <= set(pages), "not generated"


def test_every_component_of_ours_has_its_place_and_every_parameter_its_row(pages, tools):
    overview = pages["reference/components.md"]
    for registry in tools[0].own_registries():
        text = pages[f"reference/{registry.spec.page}"]
        assert re.findall("^## (.*)$", text, re.MULTILINE) == list(registry)
        for name, part in zip(registry, re.split("^## ", text, flags=re.MULTILINE)[1:], strict=True):
            component = registry[name]
            assert re.findall(r"^\| `([a-z_0-9]+)` \|", part, re.MULTILINE) == list(component.Config.model_fields)
            assert f"*{registry.owners(name)[0].distribution}*" in part
            assert plain(inspect.cleandoc(component.__doc__)) in plain(part)
            if [one.__module__ for one in registry.values()].count(component.__module__) == 1:
                assert plain(inspect.cleandoc(sys.modules[component.__module__].__doc__)) in plain(part)
            for field, info in component.Config.model_fields.items():
                (row,) = [line for line in part.splitlines() if line.startswith(f"| `{field}` |")]
                assert plain(info.description) in plain(row)
            assert f"[{name}]({registry.spec.page}#{name})" in overview


def plain(text):
    return text.replace("\\", "")


def test_the_example_and_strangers_have_none(pages, tools):
    theirs = {
        name
        for one in load_plugins()[0].registries()
        for name in one
        for owner in one.owners(name)
        if owner.plugin == "example"
    }
    listed = {name for one in tools[0].own_registries() for name in one}
    assert theirs and not theirs & listed


def test_what_is_not_installed_is_named(tools, monkeypatch):
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "encoders,objectives,optimizers,teachers")
    with pytest.raises(SystemExit, match="not installed, or failing to load: variation; "):
        tools[0].own_registries()


def test_what_a_class_declares_is_told_where_its_kind_does_not_say_it(tools):
    losses = {registry.kind: registry for registry in tools[0].own_registries()}["loss"]
    assert dict(tools[0]._declared(losses["info_nce"])) == {"head_input": "pooled", "coupling": "batch"}
    assert dict(tools[0]._declared(Augmentation)) == {}


@pytest.mark.parametrize(
    ("docstring", "page"),
    [
        ("a * b <- [c]", "a \\* b \\<- \\[c]"),
        ("`a * b` and *", "`a * b` and \\*"),
        ("x_i and _x", "x_i and \\_x"),
        ("Sum:\n\n    a * b\n\nthen * it", "Sum:\n\n    a * b\n\nthen \\* it"),
        ("one\n- two\n1. three\n# four", "one\n\\- two\n\\1. three\n\\# four"),
    ],
)
def test_a_docstring_is_no_markup(tools, docstring, page):
    assert tools[1].escaped(docstring) == page


def test_a_cell_holds_its_bars(tools):
    assert tools[0]._row("a | b", "c") == "| a \\| b | c |"


def test_methods_are_all_there_with_their_recipes(pages):
    text = pages["methods.md"]
    files = sorted((ROOT / "recipes" / "methods").glob("*.yaml"))
    assert sorted(re.findall("^## ([a-z_0-9]+)$", text, re.MULTILINE)) == [path.stem for path in files]
    for path in files:
        said, body = path.read_text().split("\n", 1)
        assert plain(said.removeprefix("# ")) in plain(text)
        assert body[body.index("\n", body.index("#")) + 1 if body.startswith("#") else 0 :] in text
    for recipe in ROOT.glob("plugins/findna-kit-[eotv]*/findna_kit_*/recipes/*.yaml"):
        if "example" not in str(recipe):
            assert f"`{recipe.parts[-4].removeprefix('findna-kit-')}:{recipe.stem}`" in text


def test_the_python_page_declares_what_the_modules_have(pages, tools):
    text = pages["reference/python.md"]
    parts = dict(zip(*[iter(re.split(r"^## (findna_kit[\w.]*)$", text, flags=re.MULTILINE)[1:])] * 2, strict=True))
    assert set(parts) == {".".join(filter(None, ("findna_kit", module))) for module in tools[1].MODULES}
    for module, part in parts.items():
        declared = set()
        for block in re.findall(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL):
            declared |= {tools[1]._name(node) for node in ast.parse(block).body}
        there = __import__(module, fromlist=["x"])
        assert all(hasattr(there, name) for name in declared - {""}), module
        public = set(getattr(there, "__all__", ())) or {
            name for name, value in vars(there).items()
            if not name.startswith("_") and inspect.isclass(value) and value.__module__ == module
        }  # fmt: skip
        assert public <= declared or module.startswith("findna_kit.model.")


def test_bodies_and_private_members_are_left_out(tools):
    source = '''
@decorated
class One(_Base):
    """Words."""

    kept: int = 3  # noqa: X
    """Of it."""
    _hidden = 4

    def __init__(self, a: int) -> None:
        self.a = a

    def call(self, *, b: int = 2) -> int:
        """Says so."""
        return b

    def _own(self) -> None:
        """Not."""


class _Base:
    inherited = 5

    def call(self) -> None:
        """Overridden."""

    def shown(self) -> int:
        # A comment on the code.
        return 1
'''
    module = tools[1]._Module(ast.parse(source), source.splitlines())
    assert tools[1]._public(module.tree) == ["One"]
    stub = tools[1]._stub(module.tree.body, 0, module)
    assert stub == (
        '@decorated\nclass One:\n    """Words."""\n\n    kept: int = 3\n    """Of it."""\n    inherited = 5\n\n'
        "    def __init__(self, a: int) -> None: ...\n\n"
        '    def call(self, *, b: int = 2) -> int:\n        """Says so."""\n\n'
        "    def shown(self) -> int: ..."
    )


def test_strangers_are_dropped_from_the_pages(tools, monkeypatch):
    components, plugins = load_plugins()
    owner = PluginSource("lab", "findna-lab", "1")
    with components.registering(owner):
        components.augmentations.add("theirs", components.augmentations["mutation"])
    plugins.append(type(plugins[0])(owner, "lab"))
    monkeypatch.setattr(tools[0], "load_plugins", lambda: (components, plugins))
    assert "theirs" not in tools[0].own_registries()[0]


def test_no_declaration_names_a_private_base_or_an_alias_that_the_page_does_not_explain(pages):
    blocks = re.findall(r"```python\n(.*?)```", pages["reference/python.md"], re.DOTALL)
    aliases = {
        node.targets[0].id
        for path in (ROOT / "findna_kit").rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and ast.unparse(node.value.value) == "Literal"
    }
    assert {"Reads", "BranchName", "Pooling", "Strand"} <= aliases
    for node in (node for block in blocks for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.ClassDef):
            assert not [base for base in map(ast.unparse, node.bases) if base.startswith("_")], node.name
        assert not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in aliases), node.id


@pytest.mark.parametrize(("name", "inherited"), [
    ("Augmentation", {"Config", "examples", "__init__", "__call__", "on_genome", "crop_start"}),
    ("Masking", {"Config", "examples", "__init__", "__call__", "on_genome"}),
    ("Cosine", {"Config", "examples", "start", "value"}),
    ("WarmupStableDecay", {"Config", "examples", "start", "value", "__init__"}),
    ("RCAverage", {"Config", "strand", "__init__", "forward", "reset_parameters"}),
    ("RCEquivariant", {"Config", "strand", "__init__", "forward", "reset_parameters"}),
])  # fmt: skip
def test_members_of_private_bases_are_shown(pages, name, inherited):
    blocks = re.findall(r"```python\n(.*?)```", pages["reference/python.md"], re.DOTALL)
    declared = [node for block in blocks for node in ast.parse(block).body if isinstance(node, ast.ClassDef)]
    (shown,) = [node for node in declared if node.name == name]
    names = [getattr(one, "name", None) or ast.unparse(getattr(one, "target", None) or one.targets[0])
             for one in shown.body if not isinstance(one, ast.Expr)]  # fmt: skip
    assert inherited <= set(names)
    assert len(names) == len(set(names))
