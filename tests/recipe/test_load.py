# ruff: noqa: E501 - the rows of a table are read across
"""A recipe read whole; every problem in plain words, on its line, all at once."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from findna_kit.errors import FindnaError, RecipeError
from findna_kit.plugins.entry_points import PluginSource
from findna_kit.plugins.loading import Plugin
from findna_kit.recipe import load_recipe
from findna_kit.recipe.yaml_nodes import dump
from findna_kit.schedules import Clock


def test_a_whole_recipe_is_typed(load):
    recipe = load()
    assert (recipe.name, recipe.seed, recipe.steps, recipe.class_tokens) == ("small", 7, 20, 2)
    assert recipe.encoder.name == "chordmixer"
    assert recipe.encoder.config == recipe.encoder.component.Config(dim=12)
    assert [one.config.maximum for one in recipe.views["masked"].augment] == [3, 20]
    assert recipe.views["masked"].mask.config.fraction == 0.3
    assert recipe.views["shifted"].mask is None
    assert recipe.losses["distill"].weight(Clock(0, 20)) == 0.5
    assert recipe.losses["masked"].weight(Clock(0, 20)) == 1.0
    assert recipe.encoder.weight is None
    assert recipe.teacher_update.config.momentum(Clock(20, 20)) == 1.0
    assert (list(recipe.views), list(recipe.losses)) == (["masked", "shifted"], ["masked", "distill"])


def test_what_is_not_stated_takes_its_default(load, changed):
    recipe = load(text=changed("seed: 7\n", ""))
    assert (recipe.seed, recipe.trainer.precision, recipe.optimizer.clip_norm) == (0, "auto", 0.5)
    assert recipe.evaluation.tasks == ()


def test_a_null_in_the_file_is_a_value_where_null_is_one(load, text, problems):
    assert load(text=text + "optimizer: {clip_norm: null}\n").optimizer.clip_norm is None
    assert problems(text=text + "optimizer: {beta1: null}\n") == [
        "recipe.yaml:20:20  optimizer.beta1: expected a number (got null)"
    ]


def test_the_initial_network_needs_no_loss(load):
    assert load("steps=0", "losses={}").losses == {}


def test_a_loss_is_needed_to_learn(problems):
    assert problems("losses={}") == [
        "--set losses={}  losses: 20 steps without a loss; state a loss, or steps: 0 for the initial network"
    ]


def test_a_loss_weight_may_be_a_schedule(load):
    weight = load("losses.distill.weight={linear: {start: 0, end: 2}}").losses["distill"].weight
    assert [weight(Clock(step, 20)) for step in (0, 10, 20)] == [0, 1, 2]


# (what is replaced, by what, what stands where the problem is placed, what is said)
WRONG = [
    ("encoder: {name: chordmixer,", "encoder: {name: chordmixr,", "chordmixr, dim", "encoder.name: no encoder is called 'chordmixr'; did you mean 'chordmixer'? (known: chordmixer, picky, transformer)"),
    ("insertion]", "insert]", "insert]", "views.masked.augment.1.name: no augmentation is called 'insert'; did you mean 'insertion'? (known: deletion, insertion)"),
    ("masked: masked_nucleotides", "masked: {weight: 2}", "masked: {weigh", "losses.masked.name: missing; it is required (known: masked_nucleotides, self_distillation)"),
    ("masked: masked_nucleotides", "masked: {name: [x]}", "[x]}", "losses.masked.name: expected the name of one loss (got a list)"),
    ("masked: masked_nucleotides", "masked: 3", "3", "losses.masked: expected the name of a component, or a map with name and parameters (got 3)"),
    ("insertion]", "null]", "null]", "views.masked.augment.1: expected the name of a component, or a map with name and parameters (got null; null removes only a key that the recipe has)"),
    ("teacher_update: {name: ema,", "teacher_update: {weight: 1, name: ema,", "weight: 1, nam", "teacher_update.weight: only a loss has a weight; leave it out"),
    ("dim: 12}", "rc: both}", "both}", "encoder.rc: expected 'none', 'average' or 'equivariant' (got 'both')"),
    ("teacher_update: {name: ema,", "teacher_update: {rc: average, name: ema,", "rc: average, n", "teacher_update.rc: only an encoder has rc; leave it out"),
    ("weight: 0.5,", "weight: -1,", "-1, student_te", "losses.distill.weight: must be at least 0 at every step (got -1)"),
    ("weight: 0.5,", "weight: true,", "true, student_", "losses.distill.weight: expected a number, or {constant | cosine | linear | wsd: {parameters}} (got true)"),
    ("weight: 0.5,", "weight: {cosine: {start: 1, end: 0, warmpu: 1}},", "warmpu: 1}}, s", "losses.distill.weight.cosine.warmpu: unknown key; did you mean 'warmup'? (known: start, end, warmup, delay, until)"),
    ("class_tokens: 2", "clas_tokens: 2", "clas_tokens: 2", "clas_tokens: unknown key; did you mean 'class_tokens'? ..."),
    ("  batch_size: 4", "  batch_size: 4\n  max_unknwon: 0", "max_unknwon: 0", "data.max_unknwon: unknown key; did you mean 'max_unknown'? (known: genome, length, batch_size, max_unknown, validation, include, exclude)"),
    ("name: small", "bas: x\nname: small", "bas: x", "bas: unknown key; did you mean 'base'? ..."),
    ("  shifted: {see: [teacher],", "  shifted: {see: [teacher], length: 65,", "65, augment", "views.shifted.length: a crop is no longer than the window; data.length is 64 (got 65)"),
    ("  shifted: {see: [teacher],", "  shifted: {see: [teacher], count: 0,", "0, augment", "views.shifted.count: must be greater than 0 (got 0)"),
    ("batch_size: 4", "batch_size: 4\n  include: [a.bed]", "[a.bed]", "data.include: expected text (got a list)"),
    ("genome: builtin", "genome: [{path: a.fa, wieght: 1}]", "wieght: 1}]", "data.genome.0.wieght: unknown key; did you mean 'weight'? (known: path, weight, validation, include, exclude)"),
    ("genome: builtin", "genome: [{path: a.fa, weight: 0}]", "0}]", "data.genome.0.weight: must be greater than 0 (got 0)"),
    ("genome: builtin", "genome: [a.fa]", "a.fa]", "data.genome.0: expected a map (got 'a.fa')"),
    ("genome: builtin", "genome: []", "[]", "data.genome: expected at least 1 item (got [])"),
    ("genome: builtin", "genome: null", "null", "data.genome: expected text or a list (got null)"),
    ("genome: builtin", "genome: [{path: a.fa}]\n  exclude: b.bed", "genome: [", "data: each of several genomes states its own exclude; move it into the list"),
    ("name: small", "init_from: {run: x, parts: [nose]}\nname: small", "nose]", "init_from.parts.0: expected 'encoder' or 'heads' (got 'nose')"),
    ("name: small", "init_from: x\nname: small", "x", "init_from: expected a map (got 'x')"),
    ("  shifted: {see: [teacher],", "  shifted: {see: [teacher], length: 6.5,", "6.5, augment", "views.shifted.length: expected a whole number or a list (got 6.5)"),
    ("  shifted: {see: [teacher],", "  shifted: {see: [teacher], length: [0.5],", "[0.5], augment", "views.shifted.length: expected at least 2 items (got a list)"),
    ("  shifted: {see: [teacher],", "  shifted: {see: [teacher], length: [0.8, 0.6],", "[0.8, 0.6], augment", "views.shifted.length: the smallest share comes first (got [0.8, 0.6])"),
    ("  shifted: {see: [teacher],", "  shifted: {see: [teacher], length: [0.5, 1.5],", "1.5], augment", "views.shifted.length.1: must be at most 1 (got 1.5)"),
    ("  shifted: {see: [teacher],", "  shifted: {see: [teacher], crop: 1,", "crop: 1, augme", "views.shifted.crop: unknown key (known: see, length, count, augment, mask)"),
    ("name: small\n", "", "seed: 7", "name: missing; it is required"),
    ("  length: 64\n", "", "data:", "data.length: missing; it is required"),
    ("see: [teacher], ", "", "shifted: {augm", "views.shifted.see: missing; it is required"),
    ("name: small", "name: a/b", "a/b", "name: the name becomes a folder's: letters, digits, '.', '_' and '-' only, a letter or digit first (got 'a/b')"),
    ("seed: 7", "seed: -1", "-1", "seed: must be at least 0 (got -1)"),
    ("steps: 20", "steps: ten", "ten", "steps: expected a whole number (got 'ten')"),
    ("steps: 20", "steps: 1,000", "1,000", "steps: expected a whole number (got '1,000'); write 1000"),
    ("steps: 20", "steps: 10,00", "10,00", "steps: expected a whole number (got '10,00')"),
    ("steps: 20", "steps: 1e30", "1e30", "steps: expected a whole number (got 1e+30)"),
    ("steps: 20", "steps: true", "true", "steps: expected a whole number (got true)"),
    ("steps: 20", "steps: 2.5", "2.5", "steps: expected a whole number (got 2.5)"),
    ("steps: 20", "steps: '20'", "'20'", "steps: expected a whole number (got '20')"),
    ("steps: 20", "steps:", "steps:", "steps: expected a whole number (got null)"),
    ("batch_size: 4", "batch_size: 0", "0", "data.batch_size: must be greater than 0 (got 0)"),
    ("batch_size: 4", "batch_size: 4\n  max_unknown: 1", "1", "data.max_unknown: must be less than 1 (got 1)"),
    ("batch_size: 4", "batch_size: 4\n  max_unknown: yes", "yes", "data.max_unknown: expected a number (got 'yes')"),
    ("batch_size: 4", "batch_size: 4\n  validation: all", "all", "data.validation: expected 'auto' or a map (got 'all')"),
    ("batch_size: 4", "batch_size: 4\n  validation: {share: 2}", "2}", "data.validation.share: must be less than 1 (got 2)"),
    ("batch_size: 4", "batch_size: 4\n  validation: {part: 2}", "part: 2}", "data.validation.part: unknown key (known: share, contigs, bed)"),
    ("batch_size: 4", "batch_size: 4\n  validation: {share: .1, bed: x}", "{share: .1, be", "data.validation: expected exactly one of share, contigs, bed"),
    ("batch_size: 4", "batch_size: 4\n  validation: {contigs: []}", "[]}", "data.validation.contigs: expected at least 1 item (got [])"),
    ("see: [student]", "see: [studnt]", "studnt]", "views.masked.see.0: expected 'student' or 'teacher' (got 'studnt'); did you mean 'student'? ..."),
    ("see: [student]", "see: []", "[]", "views.masked.see: expected at least 1 item (got [])"),
    ("see: [student]", "see: student", "student", "views.masked.see: expected a list (got 'student')"),
    ("see: [student]", "see: [student, student]", "[student, stud", "views.masked.see: a branch is stated twice; once is enough"),
    ("  shifted:", "  Shifted:", "Shifted: {see:", "views.Shifted: a label is made of lower-case letters, digits and _, a letter first (got 'Shifted')"),
    ("  distill:", "  2nd:", "2nd: {name: se", "losses.2nd: a label is made of lower-case letters, digits and _, a letter first (got '2nd')"),
    ("momentum: {cosine: {start: 0.9, end: 1.0}}", "momentum: 1.1", "1.1}", "teacher_update.momentum: must be between 0 and 1 at every step (got 1.1)"),
    ("momentum: {cosine:", "momentum: {cosin:", "{cosin: {start", "teacher_update.momentum: no schedule is called 'cosin'; did you mean 'cosine'? (known: constant, cosine, linear, wsd)"),
    ("momentum: {cosine: {start: 0.9, end", "momentum: {cosine: {start: true, end", "true, end: 1.0", "teacher_update.momentum.cosine.start: expected a number (got true)"),
    ("dim: 12", "dim: 10", "10}", "encoder.dim: must be a multiple of 4 (got 10)"),
    ("dim: 12", "dim: .nan", ".nan}", "encoder.dim: expected a finite number (got .nan)"),
    ("dim: 12", "blocks: 11", "11}", "encoder.blocks: must be at most 10 (got 11)"),
    ("name: chordmixer, dim: 12", "name: picky", "encoder: {name", "encoder.width: missing; it is required"),
    ("name: chordmixer, dim: 12", "name: picky, width: 1, stem: {kernl: 3}", "kernl: 3}}", "encoder.stem.kernl: unknown key; did you mean 'kernel'? (known: kernel, strides)"),
    ("name: chordmixer, dim: 12", "name: picky, width: 1, stem: 5", "5}", "encoder.stem: expected a map (got 5)"),
    ("name: chordmixer, dim: 12", "name: picky, width: 1, stem: {strides: [1, 2, 3]}", "[1, 2, 3]}}", "encoder.stem.strides: expected at most 2 items (got a list)"),
    ("name: chordmixer, dim: 12", "name: picky, width: 1, flavour: fancyy", "fancyy}", "encoder.flavour: expected 'plain' or 'fancy' (got 'fancyy'); did you mean 'fancy'? ..."),
    ("name: chordmixer, dim: 12", "name: picky, width: 1, size: 0", "0}", "encoder.size: must be greater than 0 (got 0)"),
    ("name: chordmixer, dim: 12", "name: picky, width: 1, size: big", "big}", "encoder.size: expected 'auto' or a whole number (got 'big')"),
    ("name: chordmixer, dim: 12", "name: picky, width: 1, odd: 2", "2}", "encoder.odd: expected an odd number (got 2)"),
    ("name: chordmixer, dim: 12", "name: picky, width: 1, code: A1", "A1}", "encoder.code: must match ^[a-z]+$ (got 'A1')"),
    ("name: chordmixer, dim: 12", "name: picky, width: 1, on: 1", "1}", "encoder.on: expected true or false (got 1)"),
    ("name: chordmixer, dim: 12", "name: picky, width: 1, table: {a: b}", "b}}", "encoder.table.a: expected a whole number (got 'b')"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "there", "said"), WRONG, ids=[f"{number}-{one[2]}" for number, one in enumerate(WRONG)])
def test_one_thing_wrong_is_one_sentence_at_its_place(problems, changed, old, new, there, said):
    text = changed(old, new)
    (problem,) = problems(text=text)
    where, _, sentence = problem.partition("  ")
    name, line, column = where.split(":")
    assert name == "recipe.yaml"
    assert text.splitlines()[int(line) - 1][int(column) - 1 :].startswith(there)
    assert sentence.startswith(said[:-4]) if said.endswith(" ...") else sentence == said


@pytest.mark.parametrize("spelling", ["01", "1", "1_0", "0x1f", "1e5", "2.50", "-3", "true", "False", "chr1"])
def test_text_keeps_the_spelling_of_a_scalar(load, text, changed, spelling):
    """A contig may be called 01; YAML takes it for a number."""
    stated = changed("batch_size: 4", f"batch_size: 4\n  validation: {{contigs: [{spelling}]}}")
    assert load(text=stated).data.validation.contigs == (spelling,)
    assert load(f"data.validation={{contigs: [{spelling}]}}").data.validation.contigs == (spelling,)
    name = spelling.lstrip("-")
    assert load(f"name={name}").name == name
    assert load(text=dump(load(text=stated).plain())).data.validation.contigs == (spelling,), "as it was saved"


@pytest.mark.parametrize("number", ["20", "20.0", "2e1", "2.0e+1", "0.2e2", "2_0", "0x14"])
def test_whole_numbers_may_be_written_as_any_number(load, changed, number):
    assert load(text=changed("steps: 20", f"steps: {number}")).steps == 20
    assert load(f"encoder.dim={number}").encoder.config.dim == 20, "a parameter of a component"
    assert load(f"trainer.micro_batch={number}").trainer.micro_batch == 20, "where auto is a value as well"
    assert isinstance(load(f"steps={number}").steps, int)


def test_a_path_may_look_like_a_number(load, changed, tmp_path):
    assert load(text=changed("genome: builtin", "genome: 007")).data.genome == str(tmp_path / "007")


def test_a_misspelt_key_that_is_required_is_missing_too(problems, changed):
    assert problems(text=changed("length: 64", "lenght: 64")) == [
        "recipe.yaml:4:1  data.length: missing; it is required",
        "recipe.yaml:6:3  data.lenght: unknown key; did you mean 'length'? "
        "(known: genome, length, batch_size, max_unknown, validation, include, exclude)",
    ]


def test_several_problems_are_all_said_in_their_order(problems, changed):
    text = changed("steps: 20", "steps: -1").replace("dim: 12", "dmi: 12").replace("seed: 7", "seed: 7\nseed: 8")
    assert problems("data.length=0", "losses.distill.prototypes=1", text=text) == [
        "recipe.yaml:3:1  seed: duplicate key, first written in line 2; keep one of them",
        "recipe.yaml:4:8  steps: must be at least 0 (got -1)",
        "recipe.yaml:15:29  encoder.dmi: unknown key; did you mean 'dim'? (known: name, rc, dim, dropout, blocks)",
        "--set data.length=0  data.length: must be greater than 0 (got 0)",
        "--set losses.distill.prototypes=1  losses.distill.prototypes: must be greater than 1 (got 1)",
    ]


def test_all_that_is_wrong_with_one_component_is_said(problems, changed):
    text = changed("weight: 0.5, student_temperature: 0.2", "weight: x, prototypes: 1, foo: 2")
    assert [line.split("  ")[1].split(":")[0] for line in problems(text=text)] == [
        "losses.distill.student_temperature",
        "losses.distill.weight",
        "losses.distill.prototypes",
        "losses.distill.foo",
    ]


def test_a_key_that_is_missing_everywhere(problems):
    lines = problems(text="name: x\n")
    assert [line.split("  ")[1] for line in lines] == [
        f"{key}: missing; it is required" for key in ("data", "encoder", "losses", "steps", "teacher_update", "views")
    ]


def test_a_sequence_of_problems_is_an_error_with_exit_code_2(load):
    with pytest.raises(FindnaError) as caught:
        load("steps=-1", "seed=x")
    assert caught.value.exit_code == 2
    assert [(one.where, one.path) for one in caught.value.problems] == [("--set steps=-1", "steps"), ("--set seed=x", "seed")]


FAILED = [
    Plugin(PluginSource("fine", "findna-fine", "1.0"), "fine"),
    Plugin(PluginSource("broken", "findna-broken", "0.3"), "broken", "ModuleNotFoundError: No module\nnamed 'x'", "trace"),
]


def test_plugins_that_failed_may_be_what_an_unknown_component_is_missing(problems):
    lines = problems("encoder=mamba", failed=FAILED)
    assert (
        lines[-1] == "broken (findna-broken 0.3) failed to load, and may contain it: ModuleNotFoundError: No module named 'x'"
    )
    assert len(lines) == 2


def test_plugins_that_failed_are_not_blamed_for_other_problems(problems):
    assert len(problems("steps=-1", failed=FAILED)) == 1


def test_a_name_that_two_plugins_claim_is_a_problem_on_its_line(problems, components):
    with components.registering(PluginSource("other", "findna-other", "2.0")):
        components.encoders.add("chordmixer", components.encoders["transformer"])
    assert problems() == [
        "recipe.yaml:14:17  encoder.name: encoder 'chordmixer' is claimed by builtin (findna-kit 0) and other (findna-other 2.0); "
        "leave one out with --without other"
    ]


def test_a_name_alone_says_what_its_parameters_lack(problems, components, changed):
    registry = components.teacher_updates
    ema = registry["ema"]
    registry.drop(PluginSource("builtin", "findna-kit", "0"))
    with components.registering(PluginSource("strict", "s", "1")):
        registry.add("strict", ema)
    text = changed("teacher_update: {name: ema, momentum: {cosine: {start: 0.9, end: 1.0}}}", "teacher_update: strict")
    (problem,) = problems(text=text)
    assert problem.endswith("teacher_update.momentum: missing; it is required")


def test_paths_are_absolute_from_the_folder_of_the_file(load, changed, tmp_path, write, components):
    text = changed("genome: builtin", "genome: ../a.fa\n  validation: {bed: b.bed}")
    write(text + "evaluation: {tasks: [builtin, t/x, /abs, ~/home]}\n", "deep/er/r.yaml")
    recipe = load_recipe("deep/er/r.yaml", components)
    assert recipe.data.genome == str(tmp_path / "deep" / "a.fa")
    assert recipe.data.validation.bed == str(tmp_path / "deep" / "er" / "b.bed")
    home = os.path.expanduser("~/home")
    assert recipe.evaluation.tasks == ("builtin", str(tmp_path / "deep" / "er" / "t" / "x"), "/abs", home)


def test_paths_of_a_set_start_from_the_working_folder(write, components, text, tmp_path):
    write(text, "deep/r.yaml")
    recipe = load_recipe("deep/r.yaml", components, overrides=["data.genome=a.fa", "evaluation.tasks=[builtin, ./builtin]"])
    assert recipe.data.genome == str(tmp_path / "a.fa")
    assert recipe.evaluation.tasks == ("builtin", str(tmp_path / "builtin"))


def test_a_link_in_a_path_is_kept(write, components, text, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write(text)
    assert load_recipe("recipe.yaml", components, overrides=["data.genome=link/a.fa"]).data.genome == str(
        tmp_path / "link/a.fa"
    )


def test_reading_is_fast(load, components):
    load()
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        load_recipe("recipe.yaml", components)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.1


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["builtin", "deletion", "ema"]),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["name", "see", "weight", "cosine", "x"]), below)
    ),
    max_leaves=5,
)
KEYS = ["data", "data.validation", "views", "views.masked", "views.masked.augment.0", "encoder", "encoder.name", "losses.masked", "losses.distill.weight",
        "teacher_update.momentum", "trainer.micro_batch", "optimizer.clip_norm", "evaluation.tasks", "nothing.there"]  # fmt: skip


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(KEYS), value=ANYTHING)
def test_whatever_is_given_the_answer_is_a_recipe_or_sentences(load, key, value):
    flow = dump({"value": value}) if not isinstance(value, float) else f"value: {value}"
    written = flow.removeprefix("value:").strip()
    try:
        recipe = load(f"{key}={written}")
    except RecipeError as error:
        assert all(one.where and "\n" not in one.message and "Input should" not in one.message for one in error.problems)
    else:
        assert recipe.name
