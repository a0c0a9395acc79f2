"""Building an experiment from a recipe, and the combinations that are refused."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from findna_kit.assemble import assemble
from findna_kit.components.heads import BatchNorm
from findna_kit.errors import RecipeError
from tests.building import small


def test_the_initial_weights_are_a_function_of_the_seed():
    first, again, other = (assemble(small("self_distill", f"seed={seed}")[0]).model_tensors() for seed in (7, 7, 8))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["student.encoder.embed.weight"], other["student.encoder.embed.weight"])


def test_building_leaves_torchs_own_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assemble(small()[0])
    assert torch.equal(torch.rand(3), expected)


def test_the_teacher_begins_as_the_student():
    tensors = assemble(small()[0]).model_tensors()
    students = {name.removeprefix("student."): t for name, t in tensors.items() if name.startswith("student.")}
    teachers = {name.removeprefix("teacher."): t for name, t in tensors.items() if name.startswith("teacher.")}
    assert students.keys() == teachers.keys()
    assert all(torch.equal(students[name], teachers[name]) for name in students)


def test_meta_takes_no_memory():
    experiment = assemble(small("findna", "data.genome=builtin", "encoder.dim=3080", "encoder.hidden=51200")[0], device="meta")
    assert {tensor.device.type for tensor in experiment.model_tensors().values()} == {"meta"}


@pytest.mark.parametrize(("overrides", "sentence"), [
    (("views.masked.mask=null",), "losses.masked: needs a view with `mask` that the student sees"),
    (("class_tokens=0",), "losses.distill: needs class tokens"),
    (("views.shifted.see=[student]",), "losses.distill: needs a view that the teacher sees"),
    (("losses.contrast={name: info_nce}",), "losses.contrast: needs two views that the student sees"),
])  # fmt: skip
def test_incompatible_components_are_refused(overrides, sentence):
    with pytest.raises(RecipeError) as refused:
        assemble(small("self_distill", *overrides)[0])
    assert sentence in str(refused.value)


def test_a_loss_without_its_views_lists_those_of_the_recipe():
    with pytest.raises(RecipeError) as refused:
        assemble(small("self_distill", "losses.distill=null", "losses.contrast=info_nce")[0])
    now = "change `views`, which are now: masked (seen by student, with a mask), shifted (seen by teacher)"
    assert f"losses.contrast: needs two views that the student sees; {now}" in str(refused.value)
    assemble(small("self_distill", "losses.distill=null", "losses.contrast=info_nce", "views.shifted.see=[student]")[0])


def test_all_problems_are_reported_at_once():
    with pytest.raises(RecipeError) as refused:
        assemble(small("self_distill", "views.masked.mask=null", "class_tokens=0")[0])
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize(("overrides", "sentence"), [
    (("views.shifted.mask=independent",), "views.shifted.mask: hides bases from the student, which does not see"),
    (("losses.update={name: masked_nucleotides}",), "losses.update: torch reserves this label"),
])  # fmt: skip
def test_useless_masks_and_reserved_labels_are_refused(overrides, sentence):
    with pytest.raises(RecipeError, match=sentence):
        assemble(small("self_distill", *overrides)[0])


@pytest.mark.parametrize(("declared", "sentence"), [
    ({"parameter": True}, "has parameters outside its heads"),
    ({"layers": lambda self, depth: (0,), "coupling": "batch"}, "hidden layers"),
    ({"coupling": "global"}, r"coupling must be sample or batch \(got 'global'\)"),
    ({"twin_heads": lambda self: {"norm": BatchNorm(22), "classifier": nn.Linear(22, 4)}}, "which the loss does not couple"),
    ({"twin_heads": lambda self: {"norm": nn.BatchNorm1d(22)}, "coupling": "batch"}, r"use findna_kit\.components\.BatchNorm"),
])  # fmt: skip
def test_losses_that_could_not_work_are_refused(declared, sentence):
    recipe, _, _ = small("masked_only")
    chosen = recipe.losses["masked"]
    if declared.pop("parameter", False):
        inside = chosen.component.__init__

        def init(self, config, **sizes):
            inside(self, config, **sizes)
            self.temperature = torch.nn.Parameter(torch.ones(()))

        declared["__init__"] = init
    strange = type("Strange", (chosen.component,), declared)
    recipe = recipe.model_copy(update={"losses": {"masked": replace(chosen, component=strange)}})
    with pytest.raises(RecipeError, match=sentence):
        assemble(recipe)


@pytest.mark.parametrize(("declared", "sentence"), [
    ({"head_input": "all"}, "reads single nucleotides, but PatchTransformer gives one embedding for 4"),
    ({"patch_head": lambda self, stride: None}, "reads single nucleotides, but PatchTransformer gives one embedding for 4"),
    ({"nucleotide_head": None}, "reads single nucleotides, but PatchTransformer gives one embedding for 4"),
    ({"twin_heads": lambda self: {"first": nn.Linear(16, 16), "classifier": nn.Linear(16, 4)}}, "first head can read patches"),
])  # fmt: skip
def test_losses_over_single_nucleotides_need_a_head_for_patches(declared, sentence):
    recipe, _, _ = small("masked_only", "encoder={name: patch_transformer, patch: 4, dim: 16, heads: 2, blocks: 1}")
    chosen = recipe.losses["masked"]
    strange = type("Strange", (chosen.component,), declared)
    recipe = recipe.model_copy(update={"losses": {"masked": replace(chosen, component=strange)}})
    with pytest.raises(RecipeError, match=sentence):
        assemble(recipe)


def test_token_losses_need_one_strand():
    recipe, _, _ = small("masked_only")
    strange = type("Strange", (recipe.encoder.component,), {"strand": "invariant"})
    recipe = recipe.model_copy(update={"encoder": replace(recipe.encoder, component=strange)})
    with pytest.raises(RecipeError, match="cannot tell the strands apart"):
        assemble(recipe)


@pytest.mark.parametrize(("declared", "sentence"), [
    ({"twin_heads": lambda self: {}, "nucleotide_head": None}, "without a head, but the two strands of an equivariant encoder"),
    ({"twin_heads": lambda self: {"first": nn.Linear(22, 22), "classifier": nn.Linear(22, 4)}}, "'classifier' follows another"),
])  # fmt: skip
def test_of_an_equivariant_encoder_the_first_head_joins_the_strands(declared, sentence):
    recipe, _, _ = small("masked_only", "encoder.rc=equivariant")
    chosen = recipe.losses["masked"]
    strange = type("Strange", (chosen.component,), declared)
    recipe = recipe.model_copy(update={"losses": {"masked": replace(chosen, component=strange)}})
    with pytest.raises(RecipeError, match=sentence):
        assemble(recipe)


@pytest.mark.parametrize(("norm", "what"), [
    (nn.BatchNorm1d, "batch normalisation of torch"),
    (BatchNorm, r"a findna_kit\.components\.BatchNorm, which is for heads"),
])  # fmt: skip
def test_an_encoder_that_normalises_over_the_batch_is_refused(norm, what):
    recipe, _, _ = small("masked_only")

    class Strange(recipe.encoder.component):
        def __init__(self, config, **sizes):
            super().__init__(config, **sizes)
            self.norm = norm(self.dim)

    with pytest.raises(RecipeError, match=f"encoder: chordmixer has {what}"):
        assemble(recipe.model_copy(update={"encoder": replace(recipe.encoder, component=Strange)}))


def test_windows_longer_than_the_encoder_takes_are_refused():
    recipe, _, _ = small("masked_only")

    class Short(recipe.encoder.component):
        max_length = 63

    with pytest.raises(RecipeError, match=r"data\.length: chordmixer takes at most 63 nucleotides \(got 64\)"):
        assemble(recipe.model_copy(update={"encoder": replace(recipe.encoder, component=Short)}))
    Short.max_length = 64
    assert assemble(recipe.model_copy(update={"encoder": replace(recipe.encoder, component=Short)})).length == 64


def test_a_teacher_may_lack_only_unused_heads():
    recipe, _, _ = small("self_distill")

    def rule(*kept):
        class Bare(recipe.teacher_update.component):
            def initial(self, student):
                teacher = super().initial(student)
                teacher.heads = nn.ModuleDict({label: teacher.heads[label] for label in kept})
                return teacher

        return recipe.model_copy(update={"teacher_update": replace(recipe.teacher_update, component=Bare)})

    assert list(assemble(rule("distill")).teacher.heads) == ["distill"]
    with pytest.raises(RecipeError, match=r"losses\.distill: reads the teacher through its heads"):
        assemble(rule("masked"))


def taught_by(other, **changes):
    """The default recipe under a rule that gives the untrained network of another recipe, of which `changes` are then said."""
    recipe, _, _ = small("self_distill", "losses.masked=null")

    class Foreign(recipe.teacher_update.component):
        def initial(self, student):
            teacher = assemble(small("self_distill", *other)[0]).student.requires_grad_(False)
            for name, value in changes.items():
                setattr(teacher.encoder, name, value)
            return teacher

    return recipe.model_copy(update={"teacher_update": replace(recipe.teacher_update, name="foreign", component=Foreign)})


def reading(recipe, reads, *, heads=True):
    """The recipe, its loss reading other rows than it did, without a problem of its own; or without heads as well."""
    chosen = recipe.losses["distill"]
    # A property, because an instance of the loss sets it from its parameters.
    declared = {"head_input": property(lambda self: reads, lambda self, value: None), "check_views": lambda self, views: None}
    declared |= {} if heads else {"twin_heads": lambda self: {}}
    strange = type("Strange", (chosen.component,), declared)
    return recipe.model_copy(update={"losses": {"distill": replace(chosen, component=strange)}})


TRANSFORMER = "encoder={name: transformer, dim: 16, hidden: 32, blocks: 1, heads: 2}"


def test_a_teacher_may_be_of_another_architecture():
    experiment = assemble(taught_by([TRANSFORMER, "data.length=80"]))
    assert (experiment.teacher.encoder.dim, experiment.student.encoder.dim) == (16, 22)
    assert not any(name.startswith("teacher.") for name in experiment.trainable())


def test_a_teacher_must_take_the_windows():
    sentence = r"teacher_update: the teacher of foreign takes at most 32 nucleotides, but data\.length is 64"
    with pytest.raises(RecipeError, match=sentence):
        assemble(taught_by([TRANSFORMER, "data.length=32"]))


def test_a_teacher_must_have_as_many_class_tokens_where_they_are_read():
    recipe = taught_by(["class_tokens=3"])
    with pytest.raises(RecipeError, match="class tokens, but the teacher has 3 and the student 2"):
        assemble(recipe)
    assert assemble(reading(recipe, "pooled")).teacher.class_tokens == 3


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"stride": 4}, "does not fit its encoder: reads single nucleotides, but ChordMixer gives one embedding for 4"),
    ({"strand": "invariant"}, "does not fit its encoder: predicts the bases of one strand"),
])  # fmt: skip
def test_a_teacher_must_tell_single_nucleotides_of_one_strand_where_they_are_read(changes, sentence):
    recipe = taught_by([], **changes)
    with pytest.raises(RecipeError, match=sentence):
        assemble(reading(recipe, "all"))
    assert assemble(recipe).teacher.encoder.dim == 22, "class tokens it may give all the same"


def test_without_heads_nobody_joins_the_strands_of_an_equivariant_teacher():
    recipe = taught_by(["encoder.rc=equivariant", "losses.distill=null"])
    with pytest.raises(RecipeError, match="does not fit its encoder: reads single nucleotides without a head"):
        assemble(reading(recipe, "all", heads=False))
    assert assemble(reading(recipe, "pooled", heads=False)).teacher.width == 22


def test_no_losses_is_the_initial_network():
    experiment = assemble(small("self_distill", "losses={}", "steps=0")[0])
    assert experiment.losses == {}
    assert experiment.model_tensors()


def test_several_views_of_one_label_are_numbered():
    """DINO's multi-crop: two crops of the whole length for both branches, four small ones for the student."""
    recipe, _, _ = small(
        "self_distill", "views.masked.count=2", "views.masked.see=[student, teacher]", "views.shifted.count=4",
        "views.shifted.length=24", "views.shifted.see=[student]",
    )  # fmt: skip
    experiment = assemble(recipe)
    assert [pipeline.name for pipeline in experiment.pipelines] == [
        "masked.1", "masked.2", "shifted.1", "shifted.2", "shifted.3", "shifted.4",
    ]  # fmt: skip
    assert [pipeline.crop for pipeline in experiment.pipelines] == [None, None, 24, 24, 24, 24]


def test_a_useless_mask_is_reported_once_for_several_views():
    with pytest.raises(RecipeError) as refused:
        assemble(small("self_distill", "views.shifted.mask=independent", "views.shifted.count=3")[0])
    assert [problem.path for problem in refused.value.problems] == ["views.shifted.mask"]


def test_an_instance_that_is_equivariant_takes_no_rc():
    recipe, _, _ = small("masked_only", "encoder.rc=equivariant")

    class Strange(recipe.encoder.component):
        def __init__(self, config, **sizes):
            super().__init__(config, **sizes)
            self.strand = "equivariant"

    with pytest.raises(RecipeError, match=r"encoder\.rc: chordmixer is strand-equivariant by itself; leave rc out"):
        assemble(recipe.model_copy(update={"encoder": replace(recipe.encoder, component=Strange)}))
