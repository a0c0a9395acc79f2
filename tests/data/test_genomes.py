"""Which genome a run trains on, whatever file it came in; how several genomes share the windows."""

import gzip

import numpy as np
import pytest
import torch

from findna_kit import alphabet
from findna_kit.data.genome import Regions, WindowSampler, builtin_genome, builtin_regions, open_store
from findna_kit.data.genomes import open_genomes
from findna_kit.errors import GenomeError
from tests.building import small


def builtin_text():
    return gzip.decompress(builtin_genome().read_bytes()).decode()


def another_file(kind, folder):
    """The bases of the built-in genome in a file of another digest, but for the first kind."""
    if kind == "its own path":
        return builtin_genome()
    path, text = folder / "mine.fa", builtin_text()
    if kind == "packed again":
        path.write_bytes(gzip.compress(text.encode(), 1))
    elif kind == "in capitals, one line, another name":
        path.write_text(">mine\n" + "".join(text.split("\n")[1:]).upper() + "\n")
    else:
        path.write_text(text)
    return path


def opened_data(recipe):
    return open_genomes(recipe.data, recipe.seed)


def opened(genome, *overrides):
    """The one genome of a recipe."""
    (found,) = opened_data(small("masked_only", f"data.genome={genome}", *overrides)[0]).genomes
    return found


@pytest.mark.parametrize("kind", ["its own path", "unpacked", "packed again", "in capitals, one line, another name"])
def test_the_builtin_genome_is_known_whatever_file_it_came_in(kind, tmp_path):
    found, builtin = opened(another_file(kind, tmp_path)), opened("builtin")
    assert found.split == builtin.split
    assert found.store.digest == builtin.store.digest
    test = builtin_regions(builtin.store)["test"]
    assert not found.split.train.intersect(test).bases
    assert not found.split.validation.intersect(test).bases
    windows = WindowSampler(found.store, found.split.train, length=64, max_unknown=0.1, seed=7, purpose="training")
    start = windows.draw(0, torch.arange(5000)).start
    assert not ((start < int(test.end[0])) & (start + 64 > int(test.start[0]))).any()


def test_names_in_a_copy_of_the_builtin_genome_stay_its_own(tmp_path):
    copy = another_file("in capitals, one line, another name", tmp_path)
    (tmp_path / "held_out.bed").write_text("mine\t0\t100000\n")
    parts = opened(copy, f"data.validation={{bed: {tmp_path / 'held_out.bed'}}}").split
    assert (parts.validation.start.tolist(), parts.validation.end.tolist()) == ([0], [100_000])
    assert parts.train.bases == 5_000_000 - 100_000 - 525_000


def test_a_genome_that_differs_in_one_base_is_another(tmp_path):
    header, first, rest = builtin_text().split("\n", 2)
    changed = ("T" if first[0].upper() != "T" else "G") + first[1:]
    (tmp_path / "near.fa").write_text("\n".join([header, changed, rest]))
    found, builtin = opened(tmp_path / "near.fa"), opened("builtin")
    assert found.store.digest != builtin.store.digest
    assert found.split.validation != builtin.split.validation


def test_a_genome_with_too_long_a_file_name_is_an_error():
    with pytest.raises(GenomeError, match="the name is too long for a file; give the path of a FASTA"):
        opened("x" * 300)


def test_tokens_of_a_region_equal_those_of_windows():
    store = open_store(builtin_genome())
    assert (store.tokens(0, 1000, 1500) == store.windows(np.array([0]), np.array([1000]), 500)[0]).all()
    with pytest.raises(IndexError, match="is not inside"):
        store.tokens(0, 4_999_990, 5_000_001)


def fasta(folder, name, letters, *, contigs=1, size=30_000):
    path = folder / f"{name}.fa"
    drawn = np.random.default_rng(len(letters)).choice(list(letters), (contigs, size))
    path.write_text("".join(f">{name}{number}\n{''.join(row)}\n" for number, row in enumerate(drawn)))
    return path


def several(*entries, steps=4):
    return small("masked_only", f"data.genome=[{', '.join(entries)}]", f"steps={steps}")[0]


def test_genomes_share_the_windows_by_weight(tmp_path):
    """The two tell themselves apart by their letters; the third counts its contigs on from the second's."""
    weak, strong = fasta(tmp_path, "weak", "AT", contigs=3), fasta(tmp_path, "strong", "CG", contigs=2)
    data = opened_data(several(f"{{path: {weak}, weight: 3}}", f"{{path: {strong}, weight: 1}}"))
    assert [genome.weight for genome in data.genomes] == [0.75, 0.25]
    drawn = data.windows.training.draw(5, torch.arange(4000))
    is_strong = ((drawn.tokens == alphabet.C) | (drawn.tokens == alphabet.G)).all(1)
    assert (is_strong | ((drawn.tokens == alphabet.A) | (drawn.tokens == alphabet.T)).all(1)).all()
    assert is_strong.float().mean() == pytest.approx(0.25, abs=0.03)
    assert set(drawn.contig[~is_strong].tolist()) == {0, 1, 2}
    assert set(drawn.contig[is_strong].tolist()) == {3, 4}
    some = torch.tensor([3999, 2, 17])
    again = data.windows.training.draw(5, some)
    assert again.tokens.equal(drawn.tokens[some])
    assert again.start.equal(drawn.start[some])
    held_out = data.windows.validation.fixed(40)
    assert int((held_out.contig >= 3).sum()) == 10


def test_one_genome_in_a_list_is_that_genome(tmp_path):
    path = fasta(tmp_path, "one", "ACGT")
    alone = opened_data(small("masked_only", f"data.genome={path}")[0])
    listed = opened_data(several(f"{{path: {path}, weight: 5}}"))
    rows = torch.arange(64)
    assert listed.windows.training.draw(1, rows).tokens.equal(alone.windows.training.draw(1, rows).tokens)


def test_each_genome_has_its_own_regions(tmp_path):
    one, two = fasta(tmp_path, "one", "ACGT", contigs=2), fasta(tmp_path, "two", "ACG", contigs=2)
    (tmp_path / "never.bed").write_text("two0\t0\t20000\n")
    data = opened_data(
        several(
            f"{{path: {one}, validation: {{contigs: [one1]}}}}",
            f"{{path: {two}, exclude: {tmp_path / 'never.bed'}, validation: {{share: 0.2}}}}",
        )
    )
    first, second = (genome.split for genome in data.genomes)
    assert first.train.contig.tolist() == [0]
    assert first.validation.contig.tolist() == [1]
    assert second.train.union(second.validation) == Regions.of(np.array([0, 1]), np.array([20_000, 0]), np.array([30_000] * 2))


def test_the_same_bases_twice_are_refused(tmp_path):
    path, other = fasta(tmp_path, "one", "ACGT"), fasta(tmp_path, "two", "ACGTN")
    (tmp_path / "copy.fa").write_text(path.read_text())
    (tmp_path / "lower.fa.gz").write_bytes(gzip.compress(path.read_text().lower().replace(">one0", ">chr1").encode()))
    for copy in ("copy.fa", "lower.fa.gz"):
        with pytest.raises(GenomeError, match=rf"one.fa and .*{copy} hold the same bases; state them once"):
            opened_data(several(f"{{path: {other}}}", f"{{path: {path}}}", f"{{path: {tmp_path / copy}}}"))
    assert len(opened_data(several(f"{{path: {other}}}", f"{{path: {path}}}")).genomes) == 2


def test_nothing_outside_of_include_and_inside_of_exclude_is_used(tmp_path):
    path = fasta(tmp_path, "one", "ACGT")
    (tmp_path / "in.bed").write_text("one0\t1000\t9000\none0\t20000\t25000\n")
    (tmp_path / "out.bed").write_text("one0\t8000\t21000\n")
    stated = (f"data.genome={path}", f"data.include={tmp_path / 'in.bed'}", f"data.exclude={tmp_path / 'out.bed'}")
    data = opened_data(small("masked_only", *stated)[0])
    (genome,) = data.genomes
    allowed = Regions.of(np.zeros(2), np.array([1000, 21_000]), np.array([8000, 25_000]))
    assert genome.split.train.union(genome.split.validation) == allowed
    for windows in (data.windows.training.draw(0, torch.arange(500)), data.windows.validation.fixed(16)):
        start = windows.start
        assert (((start >= 1000) & (start + 64 <= 8000)) | ((start >= 21_000) & (start + 64 <= 25_000))).all()


def test_the_builtin_test_region_is_always_excluded(tmp_path):
    store = open_store(builtin_genome())
    test = builtin_regions(store)["test"]
    (tmp_path / "in.bed").write_text("chr2R_2000000_7000000\t0\t5000000\n")
    parts = opened("builtin", f"data.include={tmp_path / 'in.bed'}").split
    assert not parts.train.union(parts.validation).intersect(test).bases
    assert parts == opened("builtin").split
