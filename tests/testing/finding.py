"""Helpers of tests that plant a fault in a component and expect the checks to find it."""

from findna_kit.testing.conformance import build_cases, checks_of, faults_of

SLOW = ("compiled", "processes", "resume")
"""Checks that take seconds; a test that is about one of them asks for it by name."""


def found(kind, component, parameters=None, *, checks=None, recipe=()):
    """Return {check: messages} of the checks that found something; `checks`: run these only, else all quick ones."""
    (case,) = build_cases(kind, component, parameters or {}, recipe)
    chosen = [one for one in checks_of(kind) if (one.name in checks if checks else one.name not in SLOW)]
    assert chosen
    return {one.name: faults for one in chosen if (faults := faults_of(case, one))}


def assert_found(kind, component, checks, *phrases, **options):
    """Assert that only `checks` find something, and that every phrase occurs in their messages."""
    faults = found(kind, component, **options)
    assert faults.keys() <= set(checks), "another check found something"
    text = " ".join(message for messages in faults.values() for message in messages)
    for phrase in phrases:
        assert phrase in text
