"""Loading of a `transformers` masked language model from a local folder, without network access, pickle or remote code.

`read_model` refuses a folder whose model could not serve as an encoder, with a message that names the reason.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LETTERS = ("ACGTN", "acgtn")
_PROBE = "ACGTTGCANAACCGGTTTTTAAAAANGATTACA"
"""Sequence on which a tokenizer is tested. It contains every pair of bases, and N between bases."""
_UNUSED_MODULES = ("pooler", "contact_head")
"""Modules of some models that do not contribute to the embeddings, so no gradient would reach them."""
_LOCAL_ONLY = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class LocalModel:
    """A model read from a folder.

    network: maps embeddings of tokens to embeddings of positions. ids: token ids of A C G T N and the mask. first: id of the
    token that began each sequence when the model was trained ([CLS]), or None. positions: maximum number of positions, or None.
    """

    network: nn.Module
    dim: int
    depth: int
    ids: tuple[int, ...]
    first: int | None
    positions: int | None


def read_model(folder: str) -> LocalModel:
    """Return the model in `folder`. Under the `meta` device, weights are not read and the model is not tested.

    Raises FindnaError if the folder does not exist, or holds no masked language model in safetensors whose tokenizer has one
    token per base and that can be used as an encoder.
    """
    if not (Path(folder) / "config.json").is_file():
        raise FindnaError(
            f"{folder}: no config.json found; give a folder written by transformers' save_pretrained. It is also needed to "
            "load a run that was trained from it"
        )
    with _silenced():
        config = _config(folder)
        network = _network(folder, config)
        ids, first = _tokens(folder)
    if max(ids) >= network.get_input_embeddings().num_embeddings:
        raise FindnaError(
            f"{folder}: the tokenizer has more tokens than the model has embeddings; use the tokenizer of this model"
        )
    model = LocalModel(network, config.hidden_size, config.num_hidden_layers, ids, first, _positions(network, config))
    if not network.get_input_embeddings().weight.is_meta:
        _check_usable(folder, model)
    return model


def import_transformers() -> Any:
    """Return the package `transformers`. Raise FindnaError if it is not installed."""
    try:
        return import_module("transformers")
    except ImportError as error:
        command = "pip install 'findna-kit-encoders[transformers]'"
        raise FindnaError(f"the encoder 'pretrained' needs transformers: {command} ({error})") from error


@contextmanager
def _silenced() -> Iterator[None]:
    """Turn off the library's progress bars and its lists of unused weights; this module reports problems itself."""
    logging = import_transformers().logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _config(folder: str) -> Any:
    """Return the configuration. Raise FindnaError unless it is a masked language model with a single stack of layers."""
    config = _from_pretrained(folder, import_transformers().AutoConfig)
    masked = import_module("transformers.models.auto.modeling_auto").MODEL_FOR_MASKED_LM_MAPPING
    if type(config) not in masked or config.is_encoder_decoder or getattr(config, "is_decoder", False):
        raise FindnaError(
            f"{folder}: {config.model_type} is not a masked language model with a single stack of layers; use such a model"
        )
    if not hasattr(config, "hidden_size") or not hasattr(config, "num_hidden_layers"):
        raise FindnaError(
            f"{folder}: the configuration of {config.model_type} has no hidden_size and num_hidden_layers; use another model"
        )
    if getattr(config, "token_dropout", False):
        raise FindnaError(
            f"{folder}: token_dropout, which scales embeddings by the share of masked tokens, is not supported; set it to "
            "false in config.json to use the model without it"
        )
    return config


def _network(folder: str, config: Any) -> Any:
    """Return the model without its head, in fp32. Raise FindnaError unless the folder has all of its weights."""
    if not list(Path(folder).glob("*.safetensors")):
        pickled = " other than pickles, which can run code when they are loaded" if list(Path(folder).glob("*.bin")) else ""
        raise FindnaError(
            f"{folder}: no weights found{pickled}; load the model where it came from and save it with save_pretrained, as "
            "safetensors"
        )
    auto = import_transformers().AutoModel
    if torch.get_default_device().type == "meta":
        network = auto.from_config(config)
    else:
        network, loading_info = _from_pretrained(
            folder, auto, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
        missing = sorted(name for name in loading_info["missing_keys"] if name.split(".")[0] not in _UNUSED_MODULES)
        if missing:
            raise FindnaError(
                f"{folder}: weights are missing: {', '.join(missing)}; use the weights of the model in config.json"
            )
    for name in _UNUSED_MODULES:
        if hasattr(network, name):
            setattr(network, name, None)
    return network


def _from_pretrained(folder: str, auto_class: Any, **options: Any) -> Any:
    """Return `auto_class.from_pretrained(folder)`. Raise FindnaError with the library's reason if it fails."""
    try:
        return auto_class.from_pretrained(folder, **_LOCAL_ONLY, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise FindnaError(
            f"{folder}: transformers cannot read this folder without network and remote code: {reason}"
        ) from error


def _tokens(folder: str) -> tuple[tuple[int, ...], int | None]:
    """Return the ids of A C G T N and the mask, and the id of the token that begins a sequence, or None.

    Raises FindnaError unless the tokenizer has one token per base.
    """
    tokenizer = _from_pretrained(folder, import_transformers().AutoTokenizer)
    if tokenizer.mask_token_id is None:
        raise FindnaError(f"{folder}: the tokenizer has no mask token; use a masked language model")
    for letters in _LETTERS:
        encoded = [tokenizer.encode(letter, add_special_tokens=False) for letter in letters]
        if any(len(ids) != 1 for ids in encoded):
            continue
        ids = [token for (token,) in encoded]
        bases = ids[:4]
        # Single letters are not enough: a k-mer tokenizer may have tokens for them and still merge them in a sequence.
        probe = tokenizer.encode(_PROBE.translate(str.maketrans("ACGTN", letters)), add_special_tokens=False)
        # N may be the unknown token; a base may not.
        if probe == [ids["ACGTN".index(base)] for base in _PROBE] and len({*bases, tokenizer.unk_token_id}) == len(bases) + 1:
            return (*ids, tokenizer.mask_token_id), tokenizer.cls_token_id
    tokens = " ".join(tokenizer.tokenize(_PROBE[:8]))
    raise FindnaError(
        f"{folder}: the tokenizer splits {_PROBE[:8]} into {tokens!r}; one token per base is needed, not k-mers or byte pairs: "
        "use another model"
    )


def _positions(network: nn.Module, config: Any) -> int | None:
    """Return the maximum number of positions; models like RoBERTa number positions from after the id of the padding."""
    positions: int | None = getattr(config, "max_position_embeddings", None)
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return module.num_embeddings - module.padding_idx - 1
    return positions


def _check_usable(folder: str, model: LocalModel) -> None:
    """Raise FindnaError unless the model accepts embeddings, returns all hidden layers and ignores padding."""
    token_embeddings = model.network.get_input_embeddings().weight  # type: ignore[operator]
    rows = token_embeddings[list(model.ids)].detach()[None]
    # Large values in the padding, so that any influence of it is visible.
    padded = torch.cat([rows, 100 * rows[:, :3]], dim=1)
    valid = torch.ones(padded.shape[:2], dtype=torch.bool, device=padded.device)
    valid[:, rows.shape[1] :] = False
    model.network.eval()
    try:
        with torch.no_grad():
            states = run_network(model.network, rows, valid[:, : rows.shape[1]])
            padded_states = run_network(model.network, padded, valid)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise FindnaError(f"{folder}: the model does not accept embeddings as input: {error}; use another model") from error
    model.network.train()
    if len(states) != model.depth + 1 or states[-1].shape != (*rows.shape[:2], model.dim):
        raise FindnaError(
            f"{folder}: the model does not return an embedding of width {model.dim} for each base and layer; use another model"
        )
    if not torch.allclose(states[-1], padded_states[-1][:, : rows.shape[1]], rtol=1e-3, atol=1e-3):
        raise FindnaError(f"{folder}: padding changes the model's embeddings of bases; use another model")


def run_network(network: nn.Module, rows: Tensor, valid: Tensor, *, hidden: bool = True) -> tuple[Tensor, ...]:
    """Return the hidden states [B, R, D], the last of which is the embeddings; without `hidden` the embeddings alone.

    The first hidden state is the input of the first layer. rows [B, R, E]: embeddings of tokens; valid [B, R] bool.
    """
    output = network(inputs_embeds=rows, attention_mask=valid.long(), output_hidden_states=hidden, return_dict=True)
    return (*(output.hidden_states[:-1] if hidden else ()), output.last_hidden_state)
