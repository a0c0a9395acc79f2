"""A masked language model of `transformers` with one token per base, read from a local folder, for training or comparison.

The folder is written by `save_pretrained` of a model and of its tokenizer: config.json, safetensors, the vocabulary. It is read
whenever the encoder is built, also when a finished run is loaded (whose weights then replace those of the folder), so it must
not be moved. Nothing is downloaded and no remote code is run. In an evaluation, the untrained control is the same architecture
with re-initialised weights.
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
    """A masked language model of `transformers` with one token per base, from a local folder.

    The model receives embeddings instead of tokens, so that noise on bases and gradients pass through. A row of `bases` is
    multiplied with the model's embeddings of A C G T N; a row of zeros becomes its mask token. Class tokens have learned
    vectors, initialised around the embedding of the token that began sequences in pretraining ([CLS]). No such token, and no
    end token, is added. Dropout is set in config.json. Models are refused if they are not masked language models,
    have no safetensors, need remote code, or use k-mers or byte pairs.
    """

    class Config(ComponentConfig):
        """Location of the model."""

        folder: RecipePath = Field(description="local folder written by save_pretrained, with safetensors and a tokenizer")

    examples = ()
    """Empty, because every instance needs a folder."""
    global_mixing = True
    ids: Tensor

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        model = local_model.read_model(config.folder)
        if model.positions is not None and length > model.positions:
            raise FindnaError(
                f"{config.folder}: the model accepts {model.positions} positions, fewer than data.length + class_tokens "
                f"= {length}"
            )
        self.dim, self.depth = model.dim, model.depth
        self.max_length = None if model.positions is None else model.positions - class_tokens
        self.network = model.network
        # Not in checkpoints: the ids follow from the folder, which is read again whenever the encoder is built.
        self.register_buffer("ids", torch.tensor(model.ids), persistent=False)
        self.first = model.first
        self.class_vectors = nn.Parameter(self._initial_class_vectors(class_tokens))

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, C + L, dim] and the requested hidden states, which are the outputs of the model's layers."""
        tokens = self._token_embeddings()[self.ids]
        embedded = bases @ tokens[: alphabet.CHANNELS]
        masked = bases.eq(0).all(-1, keepdim=True)
        rows = tokens[-1].to(embedded.dtype).where(masked, embedded)
        classes = len(self.class_vectors)
        class_rows = self.class_vectors.to(rows.dtype).expand(len(rows), -1, -1)
        # Class tokens are zero in `bases`, like masked ones, so they are replaced rather than added to.
        rows = torch.cat([class_rows, rows[:, classes:]], dim=1)
        states = local_model.run_network(self.network, rows, valid, hidden=bool(layers))
        return states[-1], {layer: states[layer + 1] for layer in layers}

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Re-initialise the model's weights in place. The result is the untrained control of an evaluation."""
        self.network.load_state_dict(type(self.network)(self.network.config).state_dict())
        self.class_vectors.copy_(self._initial_class_vectors(len(self.class_vectors)))

    def _initial_class_vectors(self, class_tokens: int) -> Tensor:
        """Draw vectors [class_tokens, E] around the embedding of the token that began sequences in pretraining, or around 0."""
        embeddings = self._token_embeddings().detach()
        noise = 0.02 * torch.randn(class_tokens, embeddings.shape[1])
        return noise if self.first is None else noise + embeddings[self.first]

    def _token_embeddings(self) -> Tensor:
        """Return the model's embeddings of its tokens, [V, E]."""
        embeddings: Tensor = self.network.get_input_embeddings().weight  # type: ignore[operator]
        return embeddings
