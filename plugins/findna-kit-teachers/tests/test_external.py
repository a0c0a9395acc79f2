"""Tests of a teacher from another run: which parts are used, and which runs are refused."""

import shutil

import numpy as np
import pytest
import torch
from findna_kit_teachers import External
from pydantic import ValidationError
from teaching import (
    CHORDMIXER,
    DILATED,
    RECIPES,
    assert_same_run,
    build,
    findna,
    interrupt_at,
    recipe_of,
    run,
    same,
    sets,
    state_of,
)
from teaching import SMALL as SIZES

import findna_kit
from findna_kit import checkpoint
from findna_kit.assemble import assemble
from findna_kit.components import Clock
from findna_kit.errors import FindnaError, Interrupted
from findna_kit.metrics.writers import read_rows
from findna_kit.model.branch import Branch
from findna_kit.runs import RunLocation
from findna_kit.testing import check_teacher_update

EXTERNAL = RECIPES / "external.yaml"
TRANSFORMER = "encoder={name: transformer, dim: 8, hidden: 16, blocks: 1, heads: 2}"


def trained(factory, name, *overrides, recipe="self_distill"):
    folder = factory.mktemp("other") / name
    run(RunLocation(folder), recipe, "steps=2", *overrides)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Two steps of the default recipe on an encoder of another kind and width than the students have here."""
    return trained(tmp_path_factory, "dilated", DILATED)


@pytest.fixture(scope="module")
def masked_only(tmp_path_factory):
    """A run that was trained on masked nucleotides alone."""
    return trained(tmp_path_factory, "masked", DILATED, "losses.distill=null")


def experiment(other, *overrides, device="cpu"):
    recipe, _, _ = recipe_of(EXTERNAL, f"teacher_update.run={other}", *overrides)
    return assemble(recipe, device)


def student_of(*overrides):
    recipe, _, _ = recipe_of("self_distill", *overrides)
    return assemble(recipe).student


def refused(other, *overrides):
    with pytest.raises(FindnaError) as caught:
        experiment(other, *overrides)
    return str(caught.value)


@pytest.mark.parametrize("branch", ["student", "teacher", None])
def test_the_teacher_is_the_other_runs_network(other, branch):
    rule = build(External, run=str(other), branch=branch)
    student = student_of()
    before = state_of(student)
    teacher = rule.initial(student)
    assert isinstance(teacher, Branch)
    expected = findna_kit.load(other, branch or "teacher", device="cpu").network
    assert same(state_of(teacher), state_of(expected))
    assert type(teacher.encoder) is not type(student.encoder)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not teacher.training
    assert same(state_of(student), before)
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_both_branches_of_the_other_run_differ(other):
    """Otherwise the test above would say less than it seems to."""
    assert not same(*(state_of(findna_kit.load(other, branch, device="cpu").network) for branch in ("student", "teacher")))


def test_it_never_moves(other):
    rule, student = build(External, run=str(other)), student_of()
    teacher = rule.initial(student)
    before = state_of(teacher)
    assert rule(teacher, student, Clock(3, 10), {"loss": 1.0}) == {}
    assert same(state_of(teacher), before)
    assert rule.state_dict() == {}
    with pytest.raises(ValueError, match="keeps no state"):
        rule.load_state_dict({"step": torch.ones(())})


def test_a_checkpoint_may_be_named(other):
    first = build(External, run=str(other), step=0, branch="student").initial(student_of())
    assert same(state_of(first), state_of(findna_kit.load(other, "student", step=0, device="cpu").network))
    assert not same(state_of(first), state_of(build(External, run=str(other), branch="student").initial(student_of())))
    with pytest.raises(FindnaError, match="has no checkpoint of step 1; saved: 0, 2"):
        build(External, run=str(other), step=1).initial(student_of())


def test_nothing_random_is_drawn(other):
    rule, student = build(External, run=str(other)), student_of()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    one = rule.initial(student)
    assert torch.rand(4).equal(expected)
    assert same(state_of(one), state_of(rule.initial(student)))


def test_a_run_teaches_a_student_of_another_architecture(other, tmp_path):
    run(RunLocation(tmp_path / "run"), EXTERNAL, f"teacher_update.run={other}", TRANSFORMER)
    first, last = (checkpoint.load_model(tmp_path / "run", step) for step in (0, 7))
    assert same(checkpoint.strip_prefix("teacher", first), checkpoint.strip_prefix("teacher", last))
    assert same(checkpoint.strip_prefix("teacher", last), state_of(findna_kit.load(other, device="cpu").network))
    assert not same(checkpoint.strip_prefix("student", first), checkpoint.strip_prefix("student", last))
    rows = read_rows(tmp_path / "run")
    assert {"held_out_plain/masked/loss/teacher", "held_out/distill/loss", "collapse/teacher/pooled_rankme"} <= rows[0].keys()
    frozen = [row["held_out_plain/masked/loss/teacher"] for row in rows if "held_out_plain/masked/loss/teacher" in row]
    assert len(frozen) > 2 and len(set(frozen)) == 1, "the same network on the same windows"
    assert findna_kit.load(tmp_path / "run", device="cpu").dim == 8
    assert findna_kit.load(tmp_path / "run", "teacher", device="cpu").dim == 12


def test_a_run_trained_on_since_does_not_change_what_is_resumed(other, tmp_path):
    source = tmp_path / "other"
    shutil.copytree(other, source)
    run(RunLocation(tmp_path / "whole"), EXTERNAL, f"teacher_update.run={source}")
    with pytest.raises(Interrupted):
        run(RunLocation(tmp_path / "cut"), EXTERNAL, f"teacher_update.run={source}", observer=interrupt_at(4))
    model, state, values = checkpoint.load(source, 2)
    checkpoint.save(source, 9, {name: tensor + 1 for name, tensor in model.items()}, state, values)
    newer = build(External, run=str(source)).initial(student_of())
    assert not same(state_of(newer), checkpoint.strip_prefix("teacher", model)), "a new run would take these"
    run(RunLocation(resume=tmp_path / "cut"), EXTERNAL, f"teacher_update.run={source}")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_run_that_is_gone_is_missed_in_a_sentence(other, tmp_path):
    source = tmp_path / "other"
    shutil.copytree(other, source)
    run(RunLocation(tmp_path / "run"), EXTERNAL, f"teacher_update.run={source}", "steps=1")
    shutil.rmtree(source)
    assert findna_kit.load(tmp_path / "run", device="cpu").branch == "student", "which needs no teacher"
    with pytest.raises(FindnaError) as caught:
        findna_kit.load(tmp_path / "run", "teacher", device="cpu")
    assert str(caught.value) == (
        f"teacher_update.run: the teacher is the network of {source}, which cannot be loaded; restore the run, or name "
        f"another one: {source}: is not a run folder (it has no checkpoint in checkpoints/); give the folder that `run` made"
    )


def test_check_and_run_refuse_a_run_that_is_not_there(tmp_path):
    given = sets(*SIZES, f"teacher_update.run={tmp_path / 'nowhere'}")
    for words in (["check", EXTERNAL, *given], ["run", EXTERNAL, *given, "--out", tmp_path / "run"]):
        code, _, said = findna(*words)
        assert code == 2
        assert "teacher_update.run" in said and "nowhere" in said
        assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_check_accepts_what_fits(other):
    code, _, said = findna("check", EXTERNAL, *sets(*SIZES, f"teacher_update.run={other}"))
    assert (code, said.count("error")) == (0, 0), said


def test_on_the_meta_device_it_is_built_there(other):
    built = experiment(other, device="meta")
    assert {tensor.device.type for tensor in built.model_tensors().values()} == {"meta"}
    assert built.teacher.state_dict().keys() == experiment(other).teacher.state_dict().keys()


def test_a_path_is_relative_to_the_file_that_states_it(other, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        f"base: self_distill\nname: mine\nteacher_update: {{name: external, run: {other.name}}}\n"
    )
    shutil.copytree(other, tmp_path / other.name)
    recipe, _, _ = recipe_of(tmp_path / "mine.yaml")
    assert recipe.teacher_update.config.run == str(tmp_path / other.name)


def test_heads_that_the_other_run_has_not_are_left_out_where_nobody_reads_them(masked_only, tmp_path):
    """`distill` needs the teacher and is dropped; `again` does not, and the other run knows no such label."""
    again = ("losses.distill=null", "losses.again={name: masked_nucleotides}")
    built = experiment(masked_only, *again)
    assert list(built.teacher.heads) == ["masked"]
    run(RunLocation(tmp_path / "run"), EXTERNAL, f"teacher_update.run={masked_only}", *again, "steps=2")
    row = read_rows(tmp_path / "run")[-1]
    assert "held_out_plain/again/loss/student" in row
    assert "held_out_plain/masked/loss/teacher" in row
    assert "held_out_plain/again/loss/teacher" not in row


def test_a_teacher_without_such_a_head_is_not_asked_for_bases(masked_only, tmp_path):
    again = ("losses.distill=null", "losses.masked=null", "losses.again={name: masked_nucleotides}")
    run(RunLocation(tmp_path / "run"), EXTERNAL, f"teacher_update.run={masked_only}", *again, "steps=1")
    place = np.array([2])
    assert findna_kit.load(tmp_path / "run", device="cpu").base_log_probabilities(["ACGTA"], place).shape == (1, 4)
    with pytest.raises(FindnaError, match="it has no probabilities of bases"):
        findna_kit.load(tmp_path / "run", "teacher", device="cpu").base_log_probabilities(["ACGTA"], place)


def test_heads_that_a_loss_needs_and_the_other_run_has_not_are_missed(masked_only):
    said = refused(masked_only)
    assert said == (
        "recipe  losses.distill: reads the teacher through its heads, but the teacher has no heads for this label (it has "
        "heads for: masked); use a loss without twin heads, or a teacher that was trained with this loss under the same label"
    )


def test_heads_of_other_sizes_are_refused(other):
    said = refused(other, "losses.distill.prototypes=20")
    assert said == (
        f"losses.distill: the heads of {other} under this label have the outputs projector [8], logits [12], and those of this "
        "recipe projector [8], logits [20]; configure the loss as in that run, or, if it does not read the teacher, give it "
        "another label"
    )


def test_heads_of_another_loss_under_the_same_label_are_refused(other):
    said = refused(other, "losses.distill.head=five_way")
    assert "those of this recipe logits [5]" in said


def test_a_hidden_width_may_differ(other):
    built = experiment(other, "losses.distill.hidden=24")
    assert built.teacher.heads["distill"]["projector"][0].out_features == 16
    assert built.student.heads["distill"]["projector"][0].out_features == 24


def test_a_loss_without_twin_heads_needs_none(other):
    student = student_of("losses.distill=null")
    student.heads["bare"] = torch.nn.ModuleDict()
    teacher = build(External, run=str(other)).initial(student)
    assert list(teacher.heads) == ["masked", "bare"]
    assert len(teacher.heads["bare"]) == 0


def test_the_students_heads_are_left_as_they_are(other):
    student = student_of()
    student.train()
    build(External, run=str(other)).initial(student)
    assert all(module.training for module in student.modules())
    assert {tensor.device.type for tensor in student.state_dict().values()} == {"cpu"}


def test_another_number_of_class_tokens_is_refused(tmp_path_factory):
    three = trained(tmp_path_factory, "three", DILATED, "class_tokens=3")
    assert refused(three) == ("recipe  losses.distill: reads class tokens, but the teacher has 3 and the student 2")


def test_windows_longer_than_its_encoder_takes_are_refused(tmp_path_factory):
    short = trained(tmp_path_factory, "short", TRANSFORMER, "data.length=40")
    said = "recipe  teacher_update: the teacher of external takes at most 40 nucleotides, but data.length is 48"
    assert refused(short) == said
    assert experiment(short, "data.length=40").teacher.encoder.max_length == 40


def test_a_teacher_of_an_equivariant_encoder(tmp_path_factory, tmp_path):
    """Its heads of single nucleotides read rows of both strands, all others what is joined."""
    both = trained(
        tmp_path_factory, "both", "encoder={name: dilated_conv, dim: 12, hidden: 16, blocks: 1, kernel: 3, rc: equivariant}"
    )
    run(RunLocation(tmp_path / "run"), EXTERNAL, f"teacher_update.run={both}", CHORDMIXER, "steps=2")
    assert "held_out_plain/masked/loss/teacher" in read_rows(tmp_path / "run")[0]


@pytest.mark.parametrize("wrong", [{}, {"run": ""}, {"run": "x", "branch": "both"}, {"run": "x", "step": -1}])
def test_what_names_no_network_is_refused(wrong):
    with pytest.raises(ValidationError):
        build(External, **wrong)


def test_a_finished_run_gives_the_student():
    assert External.export_branch == "student"


def test_it_conforms(other):
    check_teacher_update(External, {"run": str(other)})
