"""Tests of `pretrained`: it equals the models given tokens, it can be trained, and it refuses unsuitable folders."""

import json
import shutil
import sys

import model_folders
import numpy as np
import pytest
import torch
from findna_kit_encoders import local_model
from findna_kit_encoders.pretrained import Pretrained
from sequences import batch, built

import findna_kit
from findna_kit.errors import FindnaError
from findna_kit.testing import check_encoder

transformers = pytest.importorskip("transformers")
FAMILIES = ("bert", "roberta", "esm")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One folder for each family."""
    home = tmp_path_factory.mktemp("models")
    return {family: getattr(model_folders, family)(home / family) for family in FAMILIES}


def adapter(folder, **sizes):
    return built(Pretrained, folder=str(folder), **sizes)


def ids_of(bases, tokenizer):
    """The tokens that the one-hot rows [B, L, 5] and rows of zeros stand for, looked up one by one."""
    words = [tokenizer.convert_tokens_to_ids(letter) for letter in "ACGTN"]
    return torch.tensor(
        [[words[int(row.argmax())] if row.any() else tokenizer.mask_token_id for row in rows] for rows in bases]
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_model_given_the_tokens(folders, family):
    """Every layer, with padding; the model itself loaded by the library, its tokens by its own tokenizer."""
    folder, encoder = folders[family], adapter(folders[family])
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval().base_model
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    bases, valid = batch(32, 19, 3)
    ids = ids_of(bases * valid[..., None], tokenizer).where(valid, tokenizer.pad_token_id)
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=valid.long(), output_hidden_states=True)
        embeddings, hidden = encoder(bases, valid, layers=(0, 1))
    torch.testing.assert_close(embeddings[valid], expected.last_hidden_state[valid], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(hidden[0][valid], expected.hidden_states[1][valid], rtol=1e-4, atol=1e-5)
    assert hidden[1].equal(embeddings)


@pytest.mark.parametrize("family", ["bert", "esm"])
def test_it_conforms(folders, family):
    check_encoder(Pretrained, {"folder": str(folders[family])})


@pytest.mark.parametrize(("family", "positions"), [("bert", 64), ("roberta", 64), ("esm", 80)])
def test_it_declares_the_models_sizes(folders, family, positions):
    """RoBERTa's 66 positions are 64 rows: the first two are never used."""
    encoder = adapter(folders[family], class_tokens=3)
    assert (encoder.dim, encoder.depth, encoder.stride, encoder.strand) == (16, 2, 1, "none")
    assert (encoder.global_mixing, encoder.max_length) == (True, positions - 3)
    longest, _ = encoder(*batch(positions - 3, classes=3))
    assert longest.shape == (1, positions, 16)


def test_no_parameter_is_left_that_nothing_would_train(folders):
    """The pooler, which the head's file does not have, is gone; class vectors are drawn around [CLS]."""
    encoder = adapter(folders["bert"], class_tokens=4)
    assert not [name for name in encoder.state_dict() if "pooler" in name]
    first = encoder.network.get_input_embeddings().weight[2]
    assert (encoder.class_vectors - first).abs().max() < 0.1
    assert not encoder.class_vectors[0].equal(encoder.class_vectors[1])


def test_noise_and_gradients_pass(folders):
    """A row between two bases has the embedding between theirs."""
    encoder = adapter(folders["bert"])
    words = encoder.network.get_input_embeddings().weight
    seen = []
    encoder.network.register_forward_pre_hook(lambda _, __, given: seen.append(given["inputs_embeds"]), with_kwargs=True)
    bases = torch.zeros(1, 3, 5)
    bases[0, 0, 0], bases[0, 1, :2] = 1, 0.5
    bases.requires_grad_()
    encoder(bases, torch.ones(1, 3, dtype=torch.bool))[0].sin().sum().backward()
    token = {letter: number for number, letter in enumerate(model_folders.SPECIAL + list("ACGTN"))}
    torch.testing.assert_close(seen[0][0, 0], words[token["A"]])
    torch.testing.assert_close(seen[0][0, 1], (words[token["A"]] + words[token["C"]]) / 2)
    torch.testing.assert_close(seen[0][0, 2], words[token["[MASK]"]])
    assert bases.grad[0, :2].abs().min() > 0


def test_class_rows_are_vectors_of_its_own_and_are_seen(folders):
    encoder = adapter(folders["esm"], class_tokens=2)
    bases, valid = batch(20, 11, classes=2)
    before = encoder(bases, valid)[0]
    encoder.class_vectors.data[0] += 3
    moved = (encoder(bases, valid)[0] - before).abs().amax(-1)
    assert moved[valid].min() > 0, "every row attends to them"


def test_a_tokenizer_of_small_letters_is_taken_too(tmp_path):
    folder = model_folders.bert(tmp_path / "small", model_folders.letters("acgtn"))
    assert local_model.read_model(str(folder)).ids == (5, 6, 7, 8, 9, 4)


def test_without_a_token_for_n_it_is_unknown(tmp_path):
    folder = model_folders.bert(tmp_path / "four", model_folders.letters("ACGT"))
    assert local_model.read_model(str(folder)).ids == (5, 6, 7, 8, 1, 4)


def test_on_the_meta_device_no_weights_are_read(folders):
    with torch.device("meta"):
        encoder = adapter(folders["bert"], class_tokens=2)
    real = adapter(folders["bert"], class_tokens=2)
    assert {parameter.device.type for parameter in encoder.parameters()} == {"meta"}
    assert {name: one.shape for name, one in encoder.state_dict().items()} == {
        name: one.shape for name, one in real.state_dict().items()
    }


def test_the_library_is_left_as_talkative_as_it_was(folders, capfd):
    level = transformers.logging.get_verbosity()
    adapter(folders["bert"])
    assert transformers.logging.get_verbosity() == level
    assert transformers.logging.is_progress_bar_enabled()
    assert capfd.readouterr() == ("", "")


def changed(folder, to, **config):
    """Copy a model's folder with other settings in config.json; None removes a setting."""
    shutil.copytree(folder, to)
    settings = {**json.loads((to / "config.json").read_text()), **config}
    (to / "config.json").write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))
    return to


def refusal(folder, **sizes):
    """Return the message with which the folder is refused."""
    with pytest.raises(FindnaError) as raised:
        adapter(folder, **sizes)
    assert raised.value.exit_code == 2
    assert str(folder) in str(raised.value)
    return str(raised.value)


def test_a_folder_that_is_gone_or_is_none_is_refused(tmp_path):
    for folder in (tmp_path / "gone", tmp_path):
        assert "no config.json found; give a folder written by transformers' save_pretrained" in refusal(folder)


def test_pickles_are_not_read(folders, tmp_path):
    folder = changed(folders["bert"], tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    assert "no weights found; load the model where it came from" in refusal(folder)
    torch.save({}, folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "no weights found other than pickles, which can run code when they are loaded" in message
    assert "save it with save_pretrained, as safetensors" in message


def test_code_of_its_own_is_not_run(folders, tmp_path):
    folder = changed(
        folders["bert"], tmp_path / "foreign", model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Model"}
    )
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    assert "transformers cannot read this folder without network and remote code" in refusal(folder)
    assert not (tmp_path / "ran").exists()


def test_a_model_that_is_no_masked_one_is_refused(folders, tmp_path):
    assert "gpt2 is not a masked language model" in refusal(changed(folders["bert"], tmp_path / "gpt", model_type="gpt2"))
    decoder = model_folders.bert(tmp_path / "decoder", masked=False, is_decoder=True)
    assert "bert is not a masked language model with a single stack of layers" in refusal(decoder)


def test_weights_of_another_model_are_refused(folders, tmp_path):
    assert "weights are missing: encoder.layer.2." in refusal(changed(folders["bert"], tmp_path / "deep", num_hidden_layers=3))
    wide = refusal(changed(folders["bert"], tmp_path / "wide", intermediate_size=48))
    assert "transformers cannot read this folder" in wide


def test_kmers_and_byte_pairs_are_refused(tmp_path):
    folder = model_folders.bert(tmp_path / "kmers", model_folders.kmers())
    message = refusal(folder)
    assert "the tokenizer splits ACGTTGCA into 'ACG TTG C A'; one token per base is needed, not k-mers or byte pairs" in message
    words = model_folders.bert(tmp_path / "words", model_folders.letters(["THE", "GENOME"], pattern=r"\w+"))
    assert "the tokenizer splits ACGTTGCA into '[UNK]'" in refusal(words)


def test_a_tokenizer_without_a_mask_or_of_another_model_is_refused(folders, tmp_path):
    unmasked = model_folders.bert(tmp_path / "unmasked", model_folders.letters(mask=None), vocab_size=10)
    assert "the tokenizer has no mask token" in refusal(unmasked)
    smaller = model_folders.bert(tmp_path / "smaller", vocab_size=7)
    assert "the tokenizer has more tokens than the model has embeddings" in refusal(smaller)


def test_embeddings_that_depend_on_how_many_are_masked_are_refused(tmp_path):
    message = refusal(model_folders.esm(tmp_path / "esm", token_dropout=True))
    assert "token_dropout, which scales embeddings by the share of masked tokens, is not supported" in message


def test_a_window_longer_than_the_model_takes_is_refused(folders):
    message = refusal(folders["bert"], length=63, class_tokens=2)
    assert "the model accepts 64 positions, fewer than data.length + class_tokens = 65" in message


def test_a_model_that_reads_padding_is_refused(tmp_path):
    """ConvBERT convolves over padding that its attention mask excludes."""
    torch.manual_seed(0)
    sizes = {**model_folders.SIZES, "embedding_size": 16, "head_ratio": 1, "conv_kernel_size": 3, "vocab_size": 10}
    model = transformers.ConvBertForMaskedLM(transformers.ConvBertConfig(**sizes))
    folder = model_folders.saved(tmp_path / "convbert", model_folders._stirred(model), model_folders.letters())
    assert "padding changes the model's embeddings of bases" in refusal(folder)


def test_without_the_library_it_says_what_to_install(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(FindnaError, match="needs transformers: pip install 'findna-kit-encoders\\[transformers\\]'"):
        adapter(folders["bert"])


def test_the_plugin_is_imported_without_the_library():
    import subprocess

    code = "import sys, findna_kit_encoders; assert 'transformers' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_is_loaded_with_what_it_learned_while_the_folder_is_there(folders, tmp_path, encoder_run):
    folder = changed(folders["bert"], tmp_path / "model")
    run = encoder_run("encoders:pretrained", tmp_path / "run", f"encoder.folder={folder}", "class_tokens=2")
    model = findna_kit.load(run, device="cpu")
    assert model.recipe.encoder.config.folder == str(folder)
    embedded = model.embed(["ACGTN" * 12, "acg"])
    assert embedded.shape == (2, 16) and np.isfinite(embedded).all()
    untouched = adapter(folder, class_tokens=2, length=40).network.state_dict()
    learned = model.network.encoder.network.state_dict()
    assert any(not learned[name].equal(tensor) for name, tensor in untouched.items())
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(FindnaError, match="model"):
        findna_kit.load(run, device="cpu")


@pytest.mark.parametrize("family", FAMILIES)
def test_forgetting_draws_the_same_architecture_anew(folders, family):
    encoder, as_it_came = adapter(folders[family]), adapter(folders[family])
    torch.manual_seed(1)
    encoder.reset_parameters()
    changed = [name for name, tensor in encoder.named_parameters() if not tensor.equal(as_it_came.get_parameter(name))]
    assert any("attention" in name or "query" in name for name in changed), changed
    torch.manual_seed(1)
    as_it_came.reset_parameters()
    for name, tensor in encoder.named_parameters():
        torch.testing.assert_close(tensor, as_it_came.get_parameter(name), msg=name)
