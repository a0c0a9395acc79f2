"""What can be scored of an allele, and where it lies once what it shares with REF is off."""

from hypothesis import given
from hypothesis import strategies as st

from findna_kit.inference.variants.alleles import AlleleClassifier, _trim
from findna_kit.inference.variants.vcf import read_vcf
from tests.variants import HEAD, at, row

BASES = st.text("ACGT", min_size=1, max_size=12)


@given(BASES, BASES)
def test_trimming_takes_what_both_share_and_no_more(reference, alternative):
    start, one, two = _trim(reference, alternative)
    end = reference[start + len(one) :]
    assert reference[:start] + one + end == reference
    assert alternative == reference[:start] + two + end
    assert not (one and two and (one[0] == two[0] or one[-1] == two[-1]))


def test_half_of_the_window_may_change_but_no_more_than_fifty_bases(store, tmp_path):
    (tmp_path / "in.vcf").write_text(
        HEAD + row("there", 10, at(10), ",".join(at(10) + "A" * count for count in (20, 21, 50, 51)))
    )
    (line,) = read_vcf(tmp_path / "in.vcf").lines
    statuses = {
        length: [allele.status for allele in AlleleClassifier(store, length, predicts=True)(line)] for length in (40, 400)
    }
    assert statuses[40] == ["distance_only", "too_long", "too_long", "too_long"]
    assert statuses[400] == ["distance_only", "distance_only", "distance_only", "too_long"]
