"""A `transformers` masked language model in a local folder: read without network, pickle or foreign code, or refused."""

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
"""What a tokenizer is tried on: every base after every other one or itself, and N inside."""
_UNREAD = ("pooler", "contact_head")
"""Parts of some models that make nothing of a row's embedding: nothing would train them."""
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class LocalModel:
    """What a folder holds.

    network: takes embeddings of tokens, gives those of rows. ids: of the tokens A C G T N and the mask. first: the id of the
    token that stands first where the model was trained, if there is one. positions: rows that it takes; None: any number.
    """

    network: nn.Module
    dim: int
    depth: int
    ids: tuple[int, ...]
    first: int | None
    positions: int | None


def read(folder: str) -> LocalModel:
    """The model in `folder`; on the `meta` device its weights are not read, and nothing is computed.

    Raises FindnaError where the folder is gone, holds no masked model, none in safetensors, or one that is not given one
    token a base or that cannot be used as an encoder.
    """
    if not (Path(folder) / "config.json").is_file():
        raise FindnaError(
            f"{folder}: holds no config.json; a folder that transformers' save_pretrained wrote is wanted, also where a run "
            "that began with it is loaded"
        )
    with _quiet():
        config = _config(folder)
        network = _network(folder, config)
        ids, first = _tokens(folder)
    if max(ids) >= network.get_input_embeddings().num_embeddings:
        raise FindnaError(f"{folder}: its tokenizer has more tokens than the model has embeddings; they belong to other models")
    model = LocalModel(network, config.hidden_size, config.num_hidden_layers, ids, first, _positions(network, config))
    if not network.get_input_embeddings().weight.is_meta:
        _try(folder, model)
    return model


def library() -> Any:
    """The package `transformers`. Raises FindnaError where it is not installed."""
    try:
        return import_module("transformers")
    except ImportError as error:
        needed = "pip install 'findna-kit-encoders[transformers]'"
        raise FindnaError(f"the encoder 'pretrained' needs transformers: {needed} ({error})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's bars and lists of unused weights: what is wrong with a folder is said by this module."""
    logging = library().logging
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
    """The model's configuration, of a masked language model that is one stack of layers."""
    config = _asked(folder, library().AutoConfig)
    masked = import_module("transformers.models.auto.modeling_auto").MODEL_FOR_MASKED_LM_MAPPING
    if type(config) not in masked or config.is_encoder_decoder or getattr(config, "is_decoder", False):
        raise FindnaError(f"{folder}: {config.model_type} is no masked language model of one stack of layers; take one that is")
    if not hasattr(config, "hidden_size") or not hasattr(config, "num_hidden_layers"):
        raise FindnaError(f"{folder}: {config.model_type} states no hidden_size and num_hidden_layers; take another model")
    if getattr(config, "token_dropout", False):
        raise FindnaError(
            f"{folder}: token_dropout scales embeddings by how many tokens are masked, which this encoder does not; "
            "set it to false in config.json to use the model without"
        )
    return config


def _network(folder: str, config: Any) -> Any:
    """The model without its head, in fp32, every weight of it from the folder."""
    if not list(Path(folder).glob("*.safetensors")):
        pickled = " but pickles, which may run code when they are read" if list(Path(folder).glob("*.bin")) else ""
        raise FindnaError(
            f"{folder}: holds no weights{pickled}; load it where it is from and save it by save_pretrained, as safetensors"
        )
    auto = library().AutoModel
    if torch.get_default_device().type == "meta":
        network = auto.from_config(config)
    else:
        network, found = _asked(
            folder, auto, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
        lacking = sorted(name for name in found["missing_keys"] if name.split(".")[0] not in _UNREAD)
        if lacking:
            raise FindnaError(f"{folder}: its weights lack {', '.join(lacking)}; they are not those of config.json's model")
    for part in _UNREAD:
        if hasattr(network, part):
            setattr(network, part, None)
    return network


def _asked(folder: str, kind: Any, **options: Any) -> Any:
    """What `kind.from_pretrained` makes of the folder; FindnaError for what the library says against it."""
    try:
        return kind.from_pretrained(folder, **_LOCAL, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise FindnaError(f"{folder}: transformers cannot read it as it is, from this folder alone: {reason}") from error


def _tokens(folder: str) -> tuple[tuple[int, ...], int | None]:
    """The ids of A C G T N and the mask, and that of the token that stands first; FindnaError unless a token is a base."""
    tokenizer = _asked(folder, library().AutoTokenizer)
    if tokenizer.mask_token_id is None:
        raise FindnaError(f"{folder}: its tokenizer has no mask token; take a masked model's")
    for letters in _LETTERS:
        alone = [tokenizer.encode(letter, add_special_tokens=False) for letter in letters]
        if any(len(ids) != 1 for ids in alone):
            continue
        ids = [one for (one,) in alone]
        bases = ids[:4]
        together = tokenizer.encode(_PROBE.translate(str.maketrans("ACGTN", letters)), add_special_tokens=False)
        # N may be an unknown token; a base may not.
        if (
            together == [ids["ACGTN".index(base)] for base in _PROBE]
            and len({*bases, tokenizer.unk_token_id}) == len(bases) + 1
        ):
            return (*ids, tokenizer.mask_token_id), tokenizer.cls_token_id
    made = " ".join(tokenizer.tokenize(_PROBE[:8]))
    raise FindnaError(
        f"{folder}: its tokenizer makes {made!r} of {_PROBE[:8]}: a token for each base is wanted, not k-mers or byte pairs; "
        "take another model"
    )


def _positions(network: nn.Module, config: Any) -> int | None:
    """Rows that the model takes: RoBERTa's kind counts them from behind the padding's id."""
    positions: int | None = getattr(config, "max_position_embeddings", None)
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return module.num_embeddings - module.padding_idx - 1
    return positions


def _try(folder: str, model: LocalModel) -> None:
    """FindnaError unless it takes embeddings, gives all hidden layers, and does not read padding."""
    words = model.network.get_input_embeddings().weight  # type: ignore[operator]
    rows = words[list(model.ids)].detach()[None]
    padded = torch.cat([rows, 100 * rows[:, :3]], dim=1)
    valid = torch.ones(padded.shape[:2], dtype=torch.bool, device=padded.device)
    valid[:, rows.shape[1] :] = False
    model.network.eval()
    try:
        with torch.no_grad():
            alone, beside = run(model.network, rows, valid[:, : rows.shape[1]]), run(model.network, padded, valid)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise FindnaError(f"{folder}: the model cannot be given embeddings: {error}; take another one") from error
    model.network.train()
    if len(alone) != model.depth + 1 or alone[-1].shape != (*rows.shape[:2], model.dim):
        raise FindnaError(f"{folder}: the model does not give a row of {model.dim} for each base and layer; take another one")
    first = beside[-1][:, : rows.shape[1]]
    if not torch.allclose(alone[-1], first, rtol=1e-3, atol=1e-3):
        raise FindnaError(f"{folder}: what stands on padding changes the model's embeddings of bases; take another one")


def run(network: nn.Module, rows: Tensor, valid: Tensor, *, hidden: bool = True) -> tuple[Tensor, ...]:
    """The embeddings [B, R, D]; with `hidden`, before them what the first layer reads and what each but the last gives.

    rows [B, R, E]: embeddings of tokens; valid [B, R] bool.
    """
    made = network(inputs_embeds=rows, attention_mask=valid.long(), output_hidden_states=hidden, return_dict=True)
    return (*(made.hidden_states[:-1] if hidden else ()), made.last_hidden_state)
