"""What a search tries next. The only place that knows optuna, which is the extra `search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from findna_kit.study.search_space import Range, Search

TrialResult = tuple["Mapping[str, float]", float | None]
"""What was drawn for a trial, and what its metric came to; None: it failed."""

AT_RANDOM = 10
"""Trials that must have been told before tpe looks where good ones lie."""


def propose(search: Search, number: int, told: Sequence[TrialResult]) -> dict[str, float]:
    """What to draw for a trial, by recipe path: numbers of ranges, places of choices.

    It follows from the search, the trial's number and what was told before its batch: there is no state that a kill could lose.
    """
    if search.sampler == "grid":
        sizes = [len(one.choices or ()) for one in search.space.values()]
        return {path: int(place) for path, place in zip(search.space, np.unravel_index(number, sizes), strict=True)}
    return _drawn(search, number, told)


def _drawn(search: Search, number: int, told: Sequence[TrialResult]) -> dict[str, float]:
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it says on stderr that a study is made
    seed = int(np.random.SeedSequence([search.seed, number]).generate_state(1)[0])
    if search.sampler == "tpe":
        sampler: optuna.samplers.BaseSampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=AT_RANDOM)
    else:
        sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(direction="maximize" if search.by.maximise else "minimize", sampler=sampler)
    space = {path: _distribution(one) for path, one in search.space.items()}
    for drawn, value in told:
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        study.add_trial(create_trial(state=state, value=value, params=dict(drawn), distributions=space))
    return dict(study.ask(space).params)


def _distribution(one: Range) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if one.choices is not None:  # by their places: optuna takes no maps
        return CategoricalDistribution(range(len(one.choices)))
    low, high = one.low or 0.0, one.high or 0.0
    return IntDistribution(int(low), int(high), log=one.log) if one.integer else FloatDistribution(low, high, log=one.log)
