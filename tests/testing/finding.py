"""What the checks find wrong with a class, by check."""

from findna_kit.testing.conformance import CHECKS, build_cases, faults_of

SLOW = ("compiled", "processes", "resume")
"""Checks that take seconds; a test that is about one of them asks for it by name."""


def found(kind, component, parameters=None, *, checks=None, recipe=()):
    """{check: sentences} of those that found something; `checks`: these alone, else all that are quick."""
    (case,) = build_cases(kind, component, parameters or {}, recipe)
    chosen = [one for one in CHECKS[kind] if (one.name in checks if checks else one.name not in SLOW)]
    assert chosen
    return {one.name: faults for one in chosen if (faults := faults_of(case, one))}


def assert_found(kind, component, checks, *said, **options):
    """Some of the `checks` find something, no other one does, and what they say has every one of these parts."""
    faults = found(kind, component, **options)
    assert faults.keys() <= set(checks), "nothing else is blamed"
    whole = " ".join(sentence for sentences in faults.values() for sentence in sentences)
    for part in said:
        assert part in whole
