"""Whose each setting is, and what is said of one that cannot be."""

import pytest
from pydantic import ValidationError

from findna_kit.errors import FindnaError
from findna_kit.evaluation.finetuning import FinetuneSettings, settings_for
from findna_kit.evaluation.tasks import Task
from findna_kit.evaluation.tasks.task_file import PublishedFinetuning

PUBLISHED = PublishedFinetuning(
    batch_size=64, epochs=10, learning_rate=1e-3, warmup=0.3, weight_decay=0.1, blocks=4, dropout=0.2, marked="configured",
    ours=("dropout",),
)  # fmt: skip
PLAIN = Task("plain", "plain", {}, ("0", "1"), ())
KNOWN = Task("known", "known", {}, ("0", "1"), (), finetune=PUBLISHED)
NAMES = [
    "batch_size",
    "epochs",
    "learning_rate",
    "warmup",
    "weight_decay",
    "blocks",
    "dropout",
    "scope",
    "patience",
    "micro_batch",
]


def test_a_task_without_settings_gets_ours():
    settings, sources = settings_for(PLAIN, [])
    assert settings == FinetuneSettings()
    assert sources == dict.fromkeys(NAMES, "ours")


def test_published_settings_keep_their_mark():
    settings, sources = settings_for(KNOWN, [])
    assert {name: getattr(settings, name) for name in PUBLISHED.settings} == PUBLISHED.settings
    assert settings.scope == "full"
    assert settings.patience == FinetuneSettings().patience
    published = dict.fromkeys(NAMES[:6], "configured")
    assert sources == {**published, "dropout": "ours", "scope": "ours", "patience": "ours", "micro_batch": "ours"}


def test_certain_stays_certain():
    certain = Task("known", "known", {}, ("0", "1"), (), finetune=PUBLISHED.model_copy(update={"marked": "certain"}))
    assert settings_for(certain, [])[1]["epochs"] == "certain"


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ("epochs=3", "epochs", 3), (" epochs = 3 ", "epochs", 3), ("learning_rate=5e-4", "learning_rate", 5e-4),
        ("learning_rate=1", "learning_rate", 1.0), ("scope=head", "scope", "head"), ("patience=null", "patience", None),
        ("patience=~", "patience", None), ("blocks=null", "blocks", None), ("micro_batch=4", "micro_batch", 4),
        ("micro_batch=auto", "micro_batch", "auto"), ("dropout=0", "dropout", 0.0), ("weight_decay=0.0", "weight_decay", 0.0),
    ],
)  # fmt: skip
def test_a_change_is_given(change, name, value):
    settings, sources = settings_for(KNOWN, [change])
    before, whose = settings_for(KNOWN, [])
    assert settings == before.model_copy(update={name: value})
    assert sources == {**whose, name: "given"}


def test_the_last_change_of_a_key_counts():
    assert settings_for(PLAIN, ["epochs=3", "epochs=4"])[0].epochs == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("bach_size=3", "fine-tuning has no setting 'bach_size'; did you mean 'batch_size'? (settings: batch_size, epochs, "),
        ("nothing_like_it=3", "fine-tuning has no setting 'nothing_like_it' (settings: "),
        ("epochs", "'epochs': expected KEY=VALUE with a setting of fine-tuning, such as epochs=10"),
        ("epochs=", "'epochs=': expected KEY=VALUE with a setting of fine-tuning, such as epochs=10"),
        ("=3", "'=3': expected KEY=VALUE with a setting of fine-tuning, such as epochs=10"),
        ("epochs=0", "fine-tuning's epochs: must be at least 1 (got 0)"),
        ("epochs=2.5", "fine-tuning's epochs: expected a whole number (got 2.5)"),
        ("epochs=ten", "fine-tuning's epochs: expected a whole number (got 'ten')"),
        ("epochs=true", "fine-tuning's epochs: expected a whole number (got true)"),
        ("learning_rate=0", "fine-tuning's learning_rate: must be greater than 0 (got 0"),
        ("learning_rate=.inf", "fine-tuning's learning_rate: expected a finite number (got .inf)"),
        ("learning_rate=null", "fine-tuning's learning_rate: expected a number (got null)"),
        ("warmup=1", "fine-tuning's warmup: must be less than 1 (got 1"),
        ("dropout=1.5", "fine-tuning's dropout: must be less than 1 (got 1.5)"),
        ("scope=heads", "fine-tuning's scope: expected 'full' or 'head' (got 'heads'); did you mean 'head'?"),
        ("micro_batch=all", "fine-tuning's micro_batch: expected 'auto' or a whole number (got 'all')"),
        ("micro_batch=0", "fine-tuning's micro_batch: must be at least 1 (got 0)"),
        ("epochs=[1, 2]", "fine-tuning's epochs: expected a whole number (got a list)"),
        ("epochs=[1", "fine-tuning's epochs: not valid YAML"),
        ("epochs=!!python/name:os.system", "fine-tuning's epochs: YAML tags are refused"),
    ],
)
def test_what_cannot_be_is_said(change, message):
    with pytest.raises(FindnaError) as caught:
        settings_for(PLAIN, [change])
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_every_problem_is_said_at_once():
    with pytest.raises(FindnaError) as caught:
        settings_for(PLAIN, ["epochs=0", "warmup=2"])
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["fine-tuning's epochs", "fine-tuning's warmup"]


def test_every_setting_is_described_and_bounded():
    assert list(FinetuneSettings.model_fields) == [*NAMES, "optimizer"]
    for name, field in FinetuneSettings.model_fields.items():
        assert field.description, name
    for name in ("batch_size", "epochs", "learning_rate", "blocks", "patience", "micro_batch"):
        with pytest.raises(ValidationError):
            FinetuneSettings(**{name: 0})
    for name in ("weight_decay", "warmup", "dropout"):
        with pytest.raises(ValidationError):
            FinetuneSettings(**{name: -0.1})
