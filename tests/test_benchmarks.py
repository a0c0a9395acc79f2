"""A ratio against something that computes something else is worthless: both sides of each benchmark give the same."""

import json
from contextlib import closing

import numpy
import pytest
import torch
from torch.nn import functional as F

from benchmarks import __main__ as program
from benchmarks import turns
from benchmarks.data import places_of, plain_fasta
from benchmarks.memory import OURS, peak_in_a_process
from benchmarks.recipes import SIZES, recipe_of
from benchmarks.reference import views as reference
from benchmarks.reference.windows import LETTERS, Reader, masked
from benchmarks.report import AS_WRITTEN, Row, line
from benchmarks.step import Ours, Theirs, equal_weights, pairs
from benchmarks.turns import Spread, ratios
from findna_kit.builtin.augmentations.deletion import Deletion
from findna_kit.builtin.augmentations.insertion import Insertion
from findna_kit.builtin.augmentations.reverse_complement import ReverseComplement
from findna_kit.builtin.augmentations.translocation import Translocation
from findna_kit.data.genomes import open_genomes
from findna_kit.model.branch import encode_bases
from tests.windows import Scripted, random_windows

COLUMNS = [LETTERS.index(letter) for letter in "acgtn"]


def column(*values):
    return torch.tensor(values)[:, None]


@pytest.mark.parametrize("rows", [None, 3])
def test_the_reference_step_computes_the_kits_loss_gradient_teacher_and_centre(rows):
    """Learning rate 0, and a teacher of its own: what AdamW makes of a rounding error near 0 is no matter of the formula."""
    ours = Ours(SIZES["tiny"], 8, "fp32", "optimizer.learning_rate=0.0", "trainer.micro_batch=5")
    for parameter in ours.experiment.teacher.parameters():
        parameter.mul_(1.5)
    theirs = Theirs(SIZES["tiny"], ours.batch, ours.experiment.student.class_tokens, "fp32", rows)
    theirs.training.optimizer.param_groups[0]["lr"] = 0.0
    equal_weights(ours, theirs)
    for _ in range(3):  # the later ones depend on the centre and the teacher that the earlier ones left
        assert ours.step() == pytest.approx(theirs.step(), rel=1e-6)
        for mine, other, part in pairs(ours.experiment.student, theirs.training.student):
            torch.testing.assert_close(mine.grad, other.grad[part], rtol=1e-4, atol=1e-7)
        for mine, other, part in pairs(ours.experiment.teacher, theirs.training.teacher):
            torch.testing.assert_close(mine, other[part], rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(ours.experiment.losses["distill"].loss.center, theirs.training.center)
    assert any(float(mine.grad.abs().max()) > 1e-3 for mine, _, _ in pairs(ours.experiment.student, theirs.training.student))
    assert ours.micro_batch == 5


def test_both_sides_of_the_step_have_every_parameter():
    ours = Ours(SIZES["tiny"], 2, "fp32")
    theirs = Theirs(SIZES["tiny"], ours.batch, ours.experiment.student.class_tokens, "fp32")
    own = sum(parameter.numel() for parameter in ours.experiment.trainable().values())
    assert own == sum(parameter.numel() for parameter in theirs.training.student.parameters())
    found = pairs(ours.experiment.student, theirs.training.student)
    assert own == sum(mine.numel() for mine, _, _ in found)
    with torch.device("meta"):
        paper = Theirs(SIZES["paper"], ours.batch, 10, "fp32").training.student
    assert sum(p.numel() for p in paper.parameters()) == 12_651_873 + 4 * 309, "the paper's, and a readout of 9 instead of 5"


def test_reference_windows_are_the_kits_as_one_hot():
    recipe = recipe_of(SIZES["paper"], 16)
    data = open_genomes(recipe.data, recipe.seed)
    windows = data.windows.training.draw(3, torch.arange(16))
    places = places_of(windows, [contig.name for contig in data.genomes[0].store.contigs])
    with plain_fasta() as fasta, closing(Reader(fasta, SIZES["paper"].length)) as reader:
        read = reader.windows(places)
        assert (read == reader.looked_up(places)).all()
    assert encode_bases(windows.tokens).equal(torch.from_numpy(read[..., COLUMNS]))


def test_the_reference_masks_as_the_kit_does():
    window = torch.eye(5)[torch.randint(0, 4, (4000,), generator=torch.Generator().manual_seed(1))].numpy()
    shown, index = masked(window, 0.3, numpy.random.default_rng(0))
    assert len(set(index.tolist())) == 1200
    changed = (shown != window).any(1)
    assert changed[index].sum() == changed.sum()
    assert (shown[index].sum(1) == 0).mean() == pytest.approx(0.8, abs=0.04)
    assert changed[index].mean() == pytest.approx(0.8 + 0.1 * 0.75, abs=0.04)


def test_reference_augmentations_are_the_kits_with_the_same_draws():
    window = random_windows(3, 40, unknown=0.1, padded=False)
    sequences = encode_bases(window.tokens)
    random = torch.randint(0, 4, (3, 40), generator=torch.Generator().manual_seed(2))
    sizes, begins = (0, 5, 8), (30, 7, 0)

    view = Deletion(Deletion.Config(maximum=8))(window, Scripted(column(*sizes), column(*begins), random))
    inserted = [F.one_hot(random[row][view.origin[row] < 0], 5).float() for row in range(3)]
    made = [reference.delete(*parts) for parts in zip(sequences, begins, inserted, strict=True)]
    assert encode_bases(view.tokens).equal(torch.stack(made))

    view = Insertion(Insertion.Config(maximum=8))(window, Scripted(column(*sizes), column(*begins), random))
    for row, (size, begin) in enumerate(zip(sizes, begins, strict=True)):
        # Of the longer result the central 40 are kept: what was put in or padded outside of them nobody sees.
        longer = torch.zeros(48, 5)
        longer[4:44] = F.one_hot(random[row], 5).float()
        before = (8 - size) // 2
        put = longer[before + begin : before + begin + size]
        padding = torch.cat([longer[:before], longer[48 - (8 - size - before) :]])
        assert encode_bases(view.tokens)[row].equal(reference.insert(sequences[row], begin, put, padding))

    signs = column(0.9, 0.1, 0.9)
    view = Translocation(Translocation.Config(maximum=8))(window, Scripted(column(*sizes), signs))
    made = [reference.translocate(sequences[0], 0), reference.translocate(sequences[1], -5)]
    assert encode_bases(view.tokens).equal(torch.stack([*made, reference.translocate(sequences[2], 8)]))

    view = ReverseComplement(ReverseComplement.Config(probability=0.5))(window, Scripted(column(0.4, 0.6, 0.1)))
    assert encode_bases(view.tokens).equal(reference.reverse_complement(sequences, torch.tensor([True, False, True])))


def test_reference_views_are_whole():
    sequences = encode_bases(random_windows(6, 100, unknown=0, padded=False).tokens)
    moved = reference.teacher_view(sequences, 20)
    assert moved.shape == sequences.shape
    assert (moved.sum(-1) == 1).all()
    assert not moved.equal(sequences)
    shown, index = reference.student_view(sequences, 0.3, 0.0)
    assert index.shape == (6, 30)
    kept = torch.ones(6, 100, dtype=torch.bool).scatter(1, index, False)
    either = (shown == sequences).all(-1) | (shown == sequences.flip(1)[..., reference.COMPLEMENT]).all(-1)
    assert either[kept].all()
    hidden = shown.sum(-1) == 0
    assert not hidden[kept].any()
    assert 0.6 < float(hidden[~kept].float().mean()) < 0.95
    noisy, _ = reference.student_view(sequences, 0.3, 0.2)
    assert ((noisy == 0).all(-1).sum(1) > 15).all(), "what is hidden stays zero under noise"


def test_ways_are_timed_in_turns(monkeypatch):
    now, order = [0.0], []
    monkeypatch.setattr(turns.time, "perf_counter", lambda: now[0])

    def way(name, seconds):
        def work():
            order.append(name)
            now[0] += seconds

        return work

    third, tenth = ratios(way("ours", 1.0), way("theirs", 3.0), way("worst", 10.0), rounds=3)
    assert third.rounds == (3.0, 3.0, 3.0)
    assert tenth.median == 10.0
    assert order[3:] == ["ours", "theirs", "worst", "worst", "theirs", "ours", "ours", "theirs", "worst"]
    order.clear()
    ratios(way("ours", 0.03), way("theirs", 0.25), rounds=1)
    assert order == ["ours", "ours", "theirs", *["ours"] * 4, "theirs"], "a turn lasts a tenth of a second"


def test_bars_are_for_the_first_column_and_the_median():
    fast, slow = Spread((1.0, 2.0, 9.0)), Spread((0.5, 0.6, 0.7))
    assert Row("a", {AS_WRITTEN: fast, "improved": slow}, 2.0).met
    assert not Row("a", {AS_WRITTEN: fast}, 2.1).met
    assert Row("a", {AS_WRITTEN: slow}, 0.6, most=True).met
    assert not Row("a", {AS_WRITTEN: slow}, 0.5, most=True).met
    assert Row("a", {AS_WRITTEN: slow}).met
    two = line(Row("a", {AS_WRITTEN: fast, "improved": slow}, 2.1)), line(Row("b", {AS_WRITTEN: slow}, 0.6, most=True))
    assert two[0] == "| a | 2x (1-9) | 0.6x (0.5-0.7) | at least 2.1x | MISSED |"
    assert two[1] == "| b | 0.6 s (0.5-0.7) |  | at most 0.6 s | met |"


@pytest.mark.parametrize(("figure", "code"), [(2.0, 0), (0.5, 3)])
def test_a_missed_bar_is_exit_code_3(monkeypatch, tmp_path, capsys, figure, code):
    monkeypatch.setattr(program, "checked", lambda: [Row("what", {AS_WRITTEN: Spread((figure,))}, 1.0)])
    out = tmp_path / "out.json"
    assert program.main(["--check", "--json", str(out)]) == code
    assert f"{int(code == 3)} of 1 limits missed" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["rows"][0]["figures"][AS_WRITTEN]["median"] == figure
    assert written["machine"]["torch"] == torch.__version__
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_wrong_arguments_are_exit_code_2(tmp_path, capsys):
    (tmp_path / "out.json").write_text("{}")
    for arguments, said in (
        (["--json", str(tmp_path / "out.json")], "exists already; name another, or use --overwrite"),
        (["--check", "--full"], "--check and --full exclude each other"),
    ):
        with pytest.raises(SystemExit) as refused:
            program.main(arguments)
        assert refused.value.code == 2
        assert said in capsys.readouterr().err


def test_memory_is_that_of_a_process_of_its_own():
    kit, reference_whole = (
        peak_in_a_process(OURS, SIZES["recipe"], 4, "fp32"),
        peak_in_a_process(AS_WRITTEN, SIZES["recipe"], 32, "fp32"),
    )
    kept = 8 * 32 * 210 * 4 * (256 + 256 + 132)  # by each layer for its backward: before and after GELU, and its input
    assert reference_whole > kept
    assert 2**20 < kit < reference_whole / 3
