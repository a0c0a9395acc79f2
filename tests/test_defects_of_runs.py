"""Defects 7 to 10 of the reference (method.md 4): what is chosen, windows, resume, the order of a step. See test_defects.py."""

import csv
from copy import deepcopy

import numpy as np
import torch
from scipy import stats

from findna_kit import alphabet, checkpoint
from findna_kit.builtin.augmentations.insertion import Insertion
from findna_kit.builtin.losses.self_distillation import SelfDistillation
from findna_kit.builtin.maskings.independent import IndependentMasking
from findna_kit.components.interfaces import BranchOutput, ViewPlan
from findna_kit.components.views import View
from findna_kit.data.genome import WindowSampler, open_store, split
from findna_kit.data.view_pipeline import ViewPipeline
from findna_kit.evaluation import Contender, Evaluation, EvaluationRequest, PredictionCache, load_task, summarise
from findna_kit.evaluation.controls import kmer_features
from findna_kit.metrics.writers import MetricsWriter
from findna_kit.schedules import Clock
from findna_kit.settings import HeldOut
from findna_kit.trainer.state import TrainingState
from findna_kit.trainer.step import train_step
from tests.building import experiment_of, small
from tests.windows import draw, random_windows

MASKING = IndependentMasking(IndependentMasking.Config(fraction=0.3))
PLAN = ViewPlan("view", student=True, teacher=False, masked=True)


def state_of(experiment):
    return {name: tensor.clone() for name, tensor in {**experiment.model_tensors(), **experiment.loss_tensors()}.items()}


# 7: chosen on the test; rows dropped


def test_defect_7_nothing_is_chosen_on_the_test_and_no_row_is_dropped(tmp_path):
    numbers = np.random.default_rng(0)
    for part, rows in (("train", 120), ("dev", 60), ("test", 90)):
        with (tmp_path / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["sequence", "label"])
            for row in range(rows):
                letters = ["AC", "G", "T"] if row % 2 else ["CA", "G", "T"]
                writer.writerow(["".join(numbers.choice(letters, numbers.integers(5, 40))), row % 2])
    task = load_task(str(tmp_path))
    assert {part: len(table.sequences) for part, table in task.splits.items()} == {"train": 120, "validation": 60, "test": 90}
    assert len({len(sequence) for sequence in task.splits["test"].sequences}) > 10, "of any length"

    def contender(who, number):
        return Contender(
            lambda rows: {"forward": kmer_features(rows, 2 if who == "encoder" else 1)}, {"network": who}, None, {}
        )

    def result(given, folder):
        evaluation = Evaluation(given, contender, EvaluationRequest(("knn", "probe")), seed=1)
        return summarise(given, evaluation.predictions(PredictionCache(folder), print), seed=1)

    order = numbers.permutation(90)
    turned = deepcopy(task)
    turned.splits["test"].labels[:] = task.splits["test"].labels[order]
    one, other = result(task, tmp_path / "one"), result(turned, tmp_path / "other")

    def chosen(result):
        rows = ("encoder", "random_init", "kmer", "majority")
        return [getattr(block, who).chosen for block in result.protocols.values() for who in rows]

    assert chosen(one) == chosen(other)
    assert one.protocols["probe"].encoder.mcc != other.protocols["probe"].encoder.mcc


# 8: windows


def genome(folder):
    """A long contig with a stretch of N and of IUPAC letters, and a short one; a part is soft-masked."""
    numbers = np.random.default_rng(1)
    long, short = ("".join(numbers.choice(list("ACGT"), size)) for size in (40_000, 8_000))
    long = f"{long[:10_000]}{'N' * 3_000}{long[13_000:15_000]}{long[15_000:18_000].lower()}{long[18_000:]}"
    long = f"{long[:25_000]}{'RYK' * 20}{long[25_060:]}"
    path = folder / "genome.fa"
    path.write_text(f">long\n{long}\n>short\n{short}\n")
    return open_store(path), long


def covered(windows):
    """Bases [2 contigs, 40,000] that lie in any of the windows."""
    bases = np.zeros((2, 40_000), dtype=bool)
    for contig, start in zip(windows.contig.tolist(), windows.start.tolist(), strict=True):
        bases[contig, start : start + 100] = True
    return bases


def test_defect_8_windows_are_known_fair_and_apart(tmp_path):
    store, letters = genome(tmp_path)
    parts = split(store, HeldOut(share=0.1), length=100, seed=1)
    common = {"length": 100, "max_unknown": 0.1, "seed": 1}
    drawn = WindowSampler(store, parts.train, purpose="training", **common).draw(0, torch.arange(6000))
    looked_at = WindowSampler(store, parts.validation, purpose="validation", **common).fixed(30)
    numbers = np.random.default_rng(2)

    # The reference takes a contig, each as often as the other, then any start: windows of N are kept, validation is met.
    contig = numbers.integers(0, 2, 6000)
    start = numbers.integers(0, store.lengths[contig] - 99)
    theirs = View.of_windows(
        torch.from_numpy(store.windows(contig, start, 100)[0]), contig=torch.from_numpy(contig), start=torch.from_numpy(start)
    )

    def share_of_n(windows):
        return float((windows.tokens == alphabet.N).float().mean(1).max())

    assert share_of_n(theirs) == 1
    assert share_of_n(drawn) <= 0.1
    assert (covered(theirs) & covered(looked_at)).any()
    assert not (covered(drawn) & covered(looked_at)).any()

    unknown = [
        np.convolve(store.tokens(c, 0, n) == alphabet.N, np.ones(100), "valid") for c, n in enumerate(store.lengths.tolist())
    ]
    eligible = np.zeros(2)
    for c, first, last in zip(parts.train.contig, parts.train.start, parts.train.end, strict=True):
        eligible[c] += (unknown[c][first : max(last - 99, first)] <= 10).sum()
    expected = 6000 * eligible / eligible.sum()
    fair = [stats.chisquare(np.bincount(w.contig.numpy(), minlength=2), expected).pvalue for w in (theirs, drawn)]
    assert fair[0] < 1e-9
    assert fair[1] > 1e-3, "contigs by their bases"

    assert (alphabet.encode("RYKSWMBDHV") == alphabet.N).all(), "an IUPAC letter is not MASK"
    row = int((drawn.soft_masked.any(1) & ~drawn.soft_masked.all(1)).nonzero()[0])
    at = int(drawn.start[row])
    assert drawn.soft_masked[row].tolist() == [letter.islower() for letter in letters[at : at + 100]]


def test_defect_8_n_is_no_target_no_insertion_and_masks_do_not_repeat():
    # The reference draws its insertions from five letters, N one of them.
    assert np.random.default_rng(0).integers(0, 5, 1000).max() == alphabet.N
    window = random_windows(64, 200, unknown=0.3, padded=False)
    view = Insertion(Insertion.Config(minimum=10, maximum=20))(window, draw(1, rows=64))
    assert (view.tokens[view.origin < 0] < alphabet.N).all()
    masked = MASKING(view, draw(2, rows=64))
    assert (masked.masked_targets[masked.masked_weight > 0] < alphabet.N).all()

    # Forked workers that share one random state mask alike; here two processes have rows of their own.
    workers = [np.random.RandomState(5) for _ in range(2)]
    assert np.array_equal(*[worker.rand(4, 100) < 0.3 for worker in workers])
    plain = random_windows(8, 100, unknown=0, padded=False)
    pipeline = ViewPipeline(PLAN, (), ("independent", MASKING))
    ranks = [pipeline.view(plain.select(r), seed=5, step=0, rows=torch.arange(8)[r]) for r in (slice(0, 4), slice(4, 8))]
    assert len({tuple(sorted(row)) for rank in ranks for row in rank.masked_index.tolist()}) == 8


# 9: no resume


def test_defect_9_what_is_saved_is_loaded_and_goes_on_bit_for_bit(tmp_path):
    recipe = small("self_distill", "optimizer.learning_rate=0.01")[0]
    first, data, engine = experiment_of(recipe)
    state = TrainingState(first, engine, tmp_path)
    for step in range(3):
        state.latest = train_step(first, data, engine, state.optimizer, Clock(step, 10), {}, 8)
        state.step += 1
    writer = MetricsWriter(tmp_path, 0)
    state.save(writer)
    writer.close()

    torch.manual_seed(99)  # nothing of torch's own state may matter
    second, data, engine = experiment_of(recipe)
    loaded = TrainingState(second, engine, tmp_path)
    assert not state_of(second)["student.encoder.embed.weight"].equal(state_of(first)["student.encoder.embed.weight"])
    loaded.load()
    assert loaded.step == 3
    assert loaded.latest == state.latest
    moments = loaded.optimizer.tensors()
    assert moments.keys() == state.optimizer.tensors().keys()
    assert {name.rsplit(".", 1)[1] for name in moments} == {"step", "exp_avg", "exp_avg_sq"}
    assert all(value.equal(state.optimizer.tensors()[name]) for name, value in moments.items())
    assert state_of(second)["losses.distill.center"].abs().sum() > 0

    results = []
    for experiment, run in ((first, state), (second, loaded)):
        metrics = train_step(experiment, data, engine, run.optimizer, Clock(3, 10), run.latest, 8)
        results.append((metrics, state_of(experiment)))
    (one_metrics, one), (other_metrics, other) = results
    assert one_metrics == other_metrics
    assert all(value.equal(other[name]) for name, value in one.items())
    saved = checkpoint.load(tmp_path, 3)[0]
    assert {name.split(".")[0] for name in saved} == {"student", "teacher"}
    assert not one["teacher.encoder.embed.weight"].equal(one["student.encoder.embed.weight"])


# 10: the teacher moves first, and the centre inside forward


def test_defect_10_the_teacher_follows_the_student_of_this_step():
    setting = ("teacher_update={name: ema, momentum: 0.5}", "optimizer.learning_rate=0.01")
    experiment, data, engine = experiment_of(small("self_distill", *setting)[0])
    optimizer = TrainingState(experiment, engine, run=None).optimizer
    before = state_of(experiment)
    train_step(experiment, data, engine, optimizer, Clock(0, 10), {}, 8)
    after = state_of(experiment)
    name = "encoder.embed.weight"
    right = 0.5 * before[f"teacher.{name}"] + 0.5 * after[f"student.{name}"]
    theirs = 0.5 * before[f"teacher.{name}"] + 0.5 * before[f"student.{name}"]  # moved before the optimizer's step
    assert not theirs.allclose(right, atol=1e-4)
    assert after[f"teacher.{name}"].allclose(right, atol=1e-7)


def test_defect_10_a_look_moves_no_centre():
    class Theirs(SelfDistillation):
        """The centre moves inside `forward`, which validation calls too."""

        def forward(self, student, teacher, clock):
            term = super().forward(student, teacher, clock)
            super().after_step(term.state_inputs, clock)
            return term

    torch.manual_seed(0)
    view = random_windows(4, 8)
    student, teacher = ({name: BranchOutput(view, heads={"logits": torch.randn(4, 2, 6)})} for name in ("a", "b"))

    def looked_twice(kind):
        loss = kind(kind.Config(prototypes=6), dim=5, class_tokens=2)
        return [loss(student, teacher, Clock(1, 10)).sum.item() for _ in range(2)], loss.center

    (first, second), centre = looked_twice(Theirs)
    assert first != second
    assert centre.abs().sum() > 0
    (first, second), centre = looked_twice(SelfDistillation)
    assert first == second
    assert centre.eq(0).all()
