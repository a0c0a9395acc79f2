"""What a model says of single bases: embeddings, masked logits, mutagenesis, gradients and attention."""

from functools import cache

import numpy as np
import pytest
import torch

from findna_kit import alphabet
from findna_kit.assemble import assemble
from findna_kit.components.views import View
from findna_kit.data.genome import open_store
from findna_kit.distributed import Engine
from findna_kit.errors import FindnaError
from findna_kit.inference import batched_network, masked_bases, mutations
from findna_kit.inference.frozen_model import FrozenModel
from findna_kit.inference.mutations import importance
from findna_kit.inference.variants.alleles import Allele
from findna_kit.inference.variants.scores import VariantScorer
from findna_kit.model.branch import encode_bases, pool
from tests.building import small

ENCODERS = {
    "chordmixer": "{name: chordmixer, dim: 22, hidden: 32, blocks: 2}",
    "dilated_conv": "{name: dilated_conv, dim: 16, hidden: 16, blocks: 2, kernel: 5, largest_dilation: 4}",
    "transformer": "{name: transformer, dim: 16, hidden: 16, blocks: 2, heads: 2}",
    "patches": "{name: patch_transformer, dim: 16, hidden: 16, blocks: 2, heads: 2, patch: 5}",
    "average": "{name: transformer, dim: 16, hidden: 16, blocks: 2, heads: 2, rc: average}",
    "equivariant": "{name: chordmixer, dim: 22, hidden: 32, blocks: 1, rc: equivariant}",
}
RNG = np.random.default_rng(5)


def dna(length):
    return "".join(RNG.choice(list("ACGT"), length))


@cache
def untrained(encoder, recipe):
    """An untrained model without the folder of a run."""
    stated = small(recipe, f"encoder={ENCODERS[encoder]}")[0]
    network = assemble(stated, with_teacher=False).student
    return FrozenModel(network, stated, branch="student", step=0, engine=Engine(torch.device("cpu"), "fp32"))


@pytest.fixture(scope="module")
def models():
    return lambda encoder, recipe=None: untrained(
        encoder, recipe or ("distill_only" if encoder == "average" else "masked_only")
    )


def near(first, second, tolerance=1e-5):
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_mean_of_the_bases_is_the_embedding(models, encoder):
    model, sequence = models(encoder), dna(50)
    stride = model.network.encoder.stride
    for layer in (None, 0):
        rows = model.embed_bases(sequence, layer=layer)
        assert (rows.shape, rows.dtype) == ((50 // stride, model.dim), np.float32)
        near(rows.mean(0), model.embed([sequence], layer=layer)[0])
    if stride == 1:
        near(model.embed_bases(sequence, strand="both").mean(0), model.embed([sequence], strand="both")[0])


def test_a_last_patch_that_is_shorter_has_a_row(models):
    assert models("patches").embed_bases(dna(12)).shape == (3, 16)
    with pytest.raises(FindnaError, match=r"strand 'both': this encoder gives one embedding per patch of 5 bases"):
        models("patches").embed_bases(dna(10), strand="both")


def test_both_strands_of_bases_do_not_depend_on_the_strand(models):
    for encoder in ("chordmixer", "transformer"):
        for length in (41, 150):  # the second is longer than the transformer's max_length
            sequence = dna(length)
            turned = models(encoder).embed_bases(alphabet.reverse_complement(sequence), strand="both")
            near(models(encoder).embed_bases(sequence, strand="both"), turned[::-1])


@pytest.mark.parametrize("encoder", ["transformer", "patches"])
def test_beyond_the_encoders_length_bases_are_blended_from_windows(models, encoder, caplog):
    model = models(encoder)
    bound, stride = model.network.encoder.max_length, model.network.encoder.stride
    sequence = dna(2 * bound + 3)
    rows = model.embed_bases(sequence)
    assert rows.shape == (-(-len(sequence) // stride), 16)
    assert np.isfinite(rows).all()
    assert f"1 of 1 sequences are longer than the encoder's {bound}" in caplog.text
    # The first bases lie in the first window alone; the next are a blend of two.
    starts = -(-batched_network.window_starts(len(sequence), bound) // stride) * stride
    first, second = (model.embed_bases(sequence[start : start + bound]) for start in starts[:2])
    place = starts[1] // stride
    near(rows[:place], first[:place])
    middle, count = place + 1, len(first)
    weights = np.array([min(middle + 1, count - middle), 2])[:, None]
    near(rows[middle], (np.stack([first[middle], second[1]]) * weights).sum(0) / weights.sum())


def test_a_masked_base_at_a_time_is_what_variants_use(models):
    model, sequence = models("chordmixer"), dna(30)
    logs = model.masked_logits(sequence)
    assert (logs.shape, logs.dtype) == ((30, 4), np.float32)
    near(np.exp(logs).sum(1), 1)
    near(logs, model.base_log_probabilities([sequence] * 30, np.arange(30)))


@pytest.mark.parametrize("encoder", ["dilated_conv", "patches"])
@pytest.mark.parametrize("spacing", [1, 4, 7, 100])
def test_sets_of_masked_bases(models, encoder, spacing):
    model, sequence = models(encoder), dna(30)
    tokens = alphabet.encode(sequence)
    logs = model.masked_logits(sequence, spacing=spacing)
    label, head = model.nucleotide_head()
    for at in (0, 9, 29):
        together = torch.arange(at % spacing, 30, spacing)[None]
        view = View.of_windows(torch.from_numpy(tokens)[None])
        view = view.with_mask(together, torch.ones(together.shape), torch.full_like(together, alphabet.MASK))
        with torch.inference_mode():
            output = model.network(view, view.student_tokens, None, wants={"masked"})
            rows = masked_bases.read_rows(output, "masked")
            expected = model.network.heads[label][head](rows).log_softmax(-1)[0, at // spacing]
        near(logs[at], expected)


def test_batches_change_no_masked_logit(models, monkeypatch):
    model, sequence = models("chordmixer"), dna(40)
    whole = model.masked_logits(sequence)
    monkeypatch.setattr(masked_bases, "MAX_BATCH_BASES", 130)  # three copies
    near(model.masked_logits(sequence), whole)


def test_masked_logits_of_both_strands(models):
    model, sequence = models("chordmixer"), dna(30)
    both = model.masked_logits(sequence, strand="both", spacing=4)
    near(both, model.masked_logits(alphabet.reverse_complement(sequence), strand="both", spacing=4)[::-1, ::-1])


@pytest.mark.parametrize("strand", ["forward", "both"])
def test_mutagenesis_scores_are_those_of_variants(models, tmp_path, strand):
    model, sequence = models("chordmixer"), dna(21)
    (tmp_path / "one.fa").write_text(f">one\n{sequence}\n")
    scorer = VariantScorer(model, open_store(tmp_path / "one.fa"), length=21, strand=strand)
    place, base = np.nonzero(np.arange(4) != alphabet.encode(sequence)[:, None])
    variants = scorer([Allele("scored", 0, at, sequence[at], "ACGT"[to]) for at, to in zip(place, base, strict=True)])
    for column, score in enumerate(("llr", "cosine", "euclidean")):
        scores = model.mutagenesis(sequence, score=score, strand=strand)
        assert (scores.shape, scores.dtype) == ((21, 4), np.float32)
        # A window at the end of a contig is shifted, so that all windows are the whole contig of 21 bases.
        near(scores[place, base], variants[:, column], 2e-6)
        assert (scores[np.arange(21), alphabet.encode(sequence)] == 0).all()


def test_an_unknown_base_has_no_score(models, monkeypatch):
    monkeypatch.setattr(mutations, "_MUTANT_BASES", 40)  # substitutions in several parts
    for score in ("llr", "cosine"):
        scores = models("chordmixer").mutagenesis("ACGNTTGCAC", score=score)
        assert np.isnan(scores[3]).all()
        assert np.isfinite(np.delete(scores, 3, 0)).all()
        assert np.isfinite(np.delete(importance(scores, score), 3)).all()
    assert np.isnan(models("chordmixer").mutagenesis("NN", score="cosine")).all()


def test_importance_is_the_mean_over_the_substitutions():
    scores = np.array([[0, -3, -2, -1]], dtype=np.float32)
    assert (importance(scores, "llr").tolist(), importance(-scores, "cosine").tolist()) == ([2], [2])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradient_times_input(models, encoder):
    model, sequence = models(encoder), dna(30)
    tokens = alphabet.encode(sequence)
    direction = np.arange(model.dim) / model.dim
    result = model.gradient_times_input(sequence, target=direction, layer=0)
    assert (result.shape, result.dtype) == ((30, 4), np.float32)
    assert (result[np.arange(4) != tokens[:, None]] == 0).all()
    # A difference quotient: one base fades by a little.
    bases, valid = encode_bases(torch.from_numpy(tokens).long())[None], torch.ones(1, 30, dtype=torch.bool)

    def value(factor, at):
        faded = bases.clone()
        faded[0, at] *= factor
        with torch.inference_mode():
            encoding = model.network.encode(faded, valid, layers=(0,))
            return float(pool(encoding.of_layer(0), encoding.valid)[0].double() @ torch.from_numpy(direction))

    for at in (0, 13):
        near(result[at, tokens[at]], (value(1.05, at) - value(0.95, at)) / 0.1, 2e-4)


def test_targets_and_strands_of_gradients(models):
    model, sequence = models("chordmixer"), "ACGTNACGGT"
    assert (model.gradient_times_input(sequence)[4] == 0).all()
    one = np.zeros(model.dim)
    one[3] = 1
    near(model.gradient_times_input(sequence, target=3), model.gradient_times_input(sequence, target=one))
    both = model.gradient_times_input(sequence, strand="both")
    near(both, model.gradient_times_input(alphabet.reverse_complement(sequence), strand="both")[::-1, ::-1])


@pytest.mark.parametrize(("encoder", "rows"), [("transformer", 32), ("average", 32), ("patches", 8)])
def test_attention_has_class_tokens_first(models, encoder, rows):
    weights = models(encoder).attention(dna(30))
    assert (weights.shape, weights.dtype) == ((2, rows, rows), np.float32)
    near(weights.sum(-1), 1)
    assert not np.array_equal(weights, models(encoder).attention(dna(30), layer=0))


def test_attention_is_what_the_block_uses(models):
    model, sequence = models("transformer"), dna(20)
    block, seen = model.network.encoder.blocks[1], {}
    handle = block.register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0], turn=inputs[2]))
    model.embed([sequence])
    handle.remove()
    with torch.inference_mode():
        _, _, v = block._projections(seen["x"], seen["turn"])
        mixed = torch.from_numpy(model.attention(sequence, layer=1))[None] @ v
        expected = torch.nn.functional.scaled_dot_product_attention(*block._projections(seen["x"], seen["turn"]))
    near(mixed, expected)


def test_attention_does_not_read_padding(models):
    for encoder in ("transformer", "patches"):
        model = models(encoder)
        view = model.view([alphabet.encode(dna(20)), alphabet.encode(dna(10))])
        weights = model.network.attention(encode_bases(view.tokens), view.valid, 1)
        last = 2 + 10 // model.network.encoder.stride
        assert (weights[1, :, :, last:] == 0).all()
        near(weights[1, :, :last, :last].sum(-1), 1)


MISTAKES = [
    (lambda model: model.embed_bases(""), "the sequence is empty"),
    (lambda model: model.embed_bases(["ACGT"]), "takes one sequence as a string, not list"),
    (lambda model: model.embed_bases("ACG!"), "'!' at position 3 is not a nucleotide letter: use A C G T N"),
    (lambda model: model.embed_bases("ACG", strand="reverse"), "strand 'reverse': must be forward or both"),
    (lambda model: model.embed_bases("ACG", layer=9), "layer 9: the encoder has the hidden layers 0 to"),
    (lambda model: model.masked_logits("ACG", spacing=0), "spacing 0: must be at least 1"),
    (lambda model: model.masked_logits(""), "the sequence is empty"),
    (lambda model: model.mutagenesis("ACG", score="delta"), "score 'delta': must be one of llr, cosine, euclidean"),
    (lambda model: model.gradient_times_input("ACG", target=99), "target 99: the embedding has the dimensions 0 to 21"),
    (lambda model: model.gradient_times_input("ACG", target=[1.0]), r"target of shape \(1,\): a direction needs the 22"),
    (lambda model: model.gradient_times_input("ACG", target="x"), "target 'x': must be None, the number of a dimension"),
    (lambda model: model.attention("ACG", layer=2), "layer 2: the encoder has the hidden layers 0 to 1, or -2 to -1"),
    (lambda model: model.attention("ACG"), "the encoder 'chordmixer' has no attention weights"),
]


@pytest.mark.parametrize(("call", "sentence"), MISTAKES, ids=[sentence[:40] for _, sentence in MISTAKES])
def test_every_mistake_is_named(models, call, sentence):
    with pytest.raises(FindnaError, match=sentence):
        call(models("chordmixer"))


def test_what_needs_one_pass_refuses_longer_sequences(models):
    model = models("transformer")
    for name in ("masked_logits", "mutagenesis", "gradient_times_input", "attention"):
        with pytest.raises(FindnaError, match=r"the encoder takes at most 64 nucleotides, not 65"):
            getattr(model, name)("A" * 65)


def test_a_run_that_predicts_no_bases_has_distances_alone(models):
    model = models("chordmixer", "distill_only")
    with pytest.raises(FindnaError, match=r"no loss that predicts nucleotides"):
        model.masked_logits("ACGT")
    with pytest.raises(FindnaError, match=r"score 'llr': this run has no loss(.|\n)*use score 'cosine'"):
        model.mutagenesis("ACGT")
    assert model.mutagenesis("ACGT", score="euclidean").max() > 0


def test_window_starts_cover_a_sequence():
    for length in (1, 64, 65, 96, 97, 200, 333):
        starts = batched_network.window_starts(length, 64)
        covered = np.zeros(length, dtype=bool)
        for at in starts:
            covered[at : at + 64] = True
        assert covered.all()
        assert (starts + starts[::-1] == max(length - 64, 0)).all()
