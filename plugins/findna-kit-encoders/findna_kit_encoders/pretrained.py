"""A masked language model of `transformers` with one token a base, from a local folder, to train on or to compare with.

The folder is what `save_pretrained` of a model and its tokenizer writes: config.json, safetensors, the vocabulary. It is read
each time that the encoder is built, also where a finished run is loaded (its own weights then replace the folder's), so it
must stay where it is. Networks and code from elsewhere are never asked for. An evaluation's control that has learned nothing is
the same architecture drawn anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder, RecipePath
from findna_kit.errors import FindnaError
from findna_kit_encoders import local_model

if TYPE_CHECKING:
    from collections.abc import Sequence


class Pretrained(Encoder):
    """The folder's model, given embeddings in place of tokens, so that noise on bases and gradients pass.

    A row of `bases` is multiplied with the model's own embeddings of A C G T N; a row of zeros is its mask. Class rows have
    learned vectors, drawn around the embedding of the token that stands first where the model was trained ([CLS]); no such
    token, nor one that ends a sequence, is added beside them. Dropout is config.json's. Refused: models that are not masked,
    have no safetensors, need code of their own, or take k-mers or byte pairs.
    """

    class Config(ComponentConfig):
        """Where the model is."""

        folder: RecipePath = Field(description="a local folder that save_pretrained wrote, with safetensors and a tokenizer")

    examples = ()
    """None without a folder."""
    global_mixing = True
    ids: Tensor

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        model = local_model.read(config.folder)
        if model.positions is not None and length > model.positions:
            raise FindnaError(
                f"{config.folder}: the model takes {model.positions} rows; data.length and class_tokens come to {length}"
            )
        self.dim, self.depth = model.dim, model.depth
        self.max_length = None if model.positions is None else model.positions - class_tokens
        self.network = model.network
        self.register_buffer("ids", torch.tensor(model.ids), persistent=False)
        self.first = model.first
        self.class_vectors = nn.Parameter(self._drawn(class_tokens))

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings [B, C + L, dim]; hidden states are those after each of the model's layers."""
        tokens = self._words()[self.ids]
        shown = bases @ tokens[: alphabet.CHANNELS]
        masked = bases.eq(0).all(-1, keepdim=True)
        rows = tokens[-1].to(shown.dtype).where(masked, shown)
        classes = len(self.class_vectors)
        first = self.class_vectors.to(rows.dtype).expand(len(rows), -1, -1)
        rows = torch.cat([first, rows[:, classes:]], dim=1)
        states = local_model.run(self.network, rows, valid, hidden=bool(layers))
        return states[-1], {layer: states[layer + 1] for layer in layers}

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The same model as it would be drawn: what an evaluation's untrained control is."""
        self.network.load_state_dict(type(self.network)(self.network.config).state_dict())
        self.class_vectors.copy_(self._drawn(len(self.class_vectors)))

    def _drawn(self, class_tokens: int) -> Tensor:
        words = self._words().detach()
        drawn = 0.02 * torch.randn(class_tokens, words.shape[1])
        return drawn if self.first is None else drawn + words[self.first]

    def _words(self) -> Tensor:
        """The model's embeddings of its tokens, [V, E]."""
        words: Tensor = self.network.get_input_embeddings().weight  # type: ignore[operator]
        return words
