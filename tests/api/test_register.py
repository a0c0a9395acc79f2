"""`findna_kit.register`: a component of this session is used, recorded, and refused where it does not exist."""

import linecache
from hashlib import sha256

import pytest

import findna_kit as fk
from findna_kit.components import Augmentation, ComponentConfig
from findna_kit.errors import FindnaError, PluginError, RecipeError
from findna_kit.plugins import session
from findna_kit.plugins.loading import load_plugins
from tests.installing import findna, install
from tests.study.writing import write_study


class Keep(Augmentation):
    """Changes nothing."""

    class Config(ComponentConfig):
        """No parameters."""

    def __call__(self, view, draw):
        return view


CELL = """
# Of a notebook.
class Keep(Augmentation):
    class Config(ComponentConfig):
        pass

    def __call__(self, view, draw):
        return view  # {}
"""


def elsewhere(monkeypatch):
    """Go on as a process in which nothing was registered."""
    monkeypatch.setattr(session, "_registered", {})


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    elsewhere(monkeypatch)


def cell(remark, name="<cell>"):
    """The class of a cell, as IPython runs it: the source is in linecache, and there is no file."""
    source = CELL.format(remark)
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    names = {"Augmentation": Augmentation, "ComponentConfig": ComponentConfig, "__name__": "__main__"}
    exec(compile(source, name, "exec"), names)
    return names["Keep"]


def version(name="keep"):
    ((owner,),) = [load_plugins()[0].augmentations.owners(name)]
    assert owner.is_session
    return owner.version


@pytest.fixture(scope="module")
def kept(tmp_path_factory, tiny):
    """A run with a component of a session that has ended."""
    folder = tmp_path_factory.mktemp("session") / "run"
    with pytest.MonkeyPatch.context() as patch:
        elsewhere(patch)
        fk.register("keep", cell("first"))
        recipe = fk.load_recipe("masked_only", **{**tiny, "steps": 2, "views.masked.augment": [{"name": "keep"}]})
        return fk.run(recipe, out=folder, device="cpu")


def test_a_run_records_the_session_and_the_digest_of_the_source(kept):
    digest = sha256(CELL.format("first").split("\n", 2)[2].strip().encode()).hexdigest()[:32]
    assert kept.record.components["augmentation"] == {"keep": f"session sha256:{digest}"}
    assert f"session (session sha256:{digest})" in kept.record.plugins


REFUSED = (
    r"run: uses components that no installed plugin provides: augmentation 'keep', written in a notebook or Python session\n"
    r"what is written in a notebook exists in its own process alone: put the class into a plugin package, which "
    r"`findna-kit plugins new` creates, and install that; or call findna_kit.register before you open the folder"
)


def test_elsewhere_the_run_is_refused_by_name(kept, tmp_path):
    for use in (lambda: fk.load(kept.folder), lambda: fk.run(resume=kept.folder), lambda: fk.Run(kept.folder).recipe):
        with pytest.raises(FindnaError, match=REFUSED):
            use()
    (tmp_path / "in.csv").write_text("sequence\nACGT\n")
    for words in (["embed", kept.folder, tmp_path / "in.csv", "--out", tmp_path / "x.npy"], ["run", "--resume", kept.folder]):
        code, _, stderr = findna(*words)
        assert code == 2
        assert "augmentation 'keep', written in a notebook" in stderr


def test_where_it_is_registered_again_the_run_opens_and_another_source_is_reported(kept, caplog):
    fk.register("keep", cell("first"))
    assert fk.load(kept.folder).embed(["ACGT"]).shape == (1, 22)
    assert caplog.messages == []
    fk.register("keep", cell("second"))
    fk.load(kept.folder)
    (line,) = caplog.messages
    assert f"augmentation 'keep' is registered here with another source ({version()}) than the run was made with" in line
    with pytest.raises(FindnaError, match=REFUSED):
        fk.load(kept.folder, without=["session"])


PACKAGE = """
from findna_kit.components import Augmentation, ComponentConfig, hookimpl
findna_kit_api = 2
{}
@hookimpl
def findna_kit_register(registry):
    registry.augmentations.add("keep", Keep)
"""


def test_from_a_plugin_package_the_run_opens(kept, tmp_path, monkeypatch, caplog):
    install(tmp_path, "findna-keep", PACKAGE.format(CELL))
    monkeypatch.syspath_prepend(tmp_path)
    assert fk.load(kept.folder).embed(["ACGT"]).shape == (1, 22)
    assert caplog.messages == []
    with pytest.raises(PluginError, match=r"'keep' is the name of a component of keep \(findna-keep 1.0\); take another name"):
        fk.register("keep", Keep)


def test_a_class_in_a_file_is_found_by_its_methods():
    fk.register("keep", Keep)
    assert session.source_of(Keep).startswith("class Keep(Augmentation):\n")
    assert session.source_of(Keep).endswith("return view")


def test_wrong_classes_and_names_are_refused():
    with pytest.raises(
        PluginError, match="'keep': <class 'dict'> is not a component; derive a class from one of Augmentation, M"
    ):
        fk.register("keep", dict)
    with pytest.raises(PluginError, match="augmentation 'Keep': a name is made of lower-case letters"):
        fk.register("Keep", Keep)
    with pytest.raises(
        PluginError, match=r"augmentation 'noise' is the name of a component of builtin \(findna-kit .*another name"
    ):
        fk.register("noise", Keep)
    unknown = cell("", "<lost>")
    del linecache.cache["<lost>"]
    with pytest.raises(PluginError, match="Keep: its source cannot be read, and a run must record it; write the class"):
        fk.register("keep", unknown)
    with pytest.raises(RecipeError, match="no augmentation is called 'keep'"):
        fk.load_recipe("masked_only", **{"views.masked.augment": [{"name": "keep"}]})


def test_a_study_refuses_what_its_cells_would_not_have(tmp_path):
    fk.register("keep", Keep)
    study = write_study(tmp_path, factors="{kept: {no: {}, yes: {views.masked.augment: [{name: keep}]}}}")
    with pytest.raises(FindnaError, match=r"augmentation 'keep' was registered in this session, and each cell of a study runs"):
        fk.ablate(study, tmp_path / "study")
    assert not (tmp_path / "study").exists()
