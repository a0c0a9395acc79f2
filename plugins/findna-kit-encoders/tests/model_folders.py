"""Folders written by save_pretrained: tiny masked models with random weights, and tokenizers of different kinds."""

import warnings

import torch

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def letters(vocabulary="ACGTN", *, pattern=".", mask="[MASK]"):
    """Return a tokenizer whose tokens are the matches of `pattern`."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {token: number for number, token in enumerate([*SPECIAL, *vocabulary])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token=mask
    )


def kmers():
    """Return a tokenizer of three bases per token, which has single bases in its vocabulary too."""
    from itertools import product

    return letters([*"ACGTN", *map("".join, product("ACGT", repeat=3))], pattern=r"[ACGT]{3}|.")


def saved(folder, model, tokenizer):
    """Save a model and a tokenizer; return their folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def bert(folder, tokenizer=None, *, masked=True, seed=0, **more):
    """Save a BERT with its head; every parameter differs from zero and one."""
    import transformers

    torch.manual_seed(seed)
    tokenizer = tokenizer or letters()
    config = transformers.BertConfig(**{**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 64, **more})
    kind = transformers.BertForMaskedLM if masked else transformers.BertLMHeadModel
    return saved(folder, _stirred(kind(config)), tokenizer)


def roberta(folder, seed=0, **more):
    """Save a RoBERTa, which numbers positions from after the padding's id."""
    import transformers

    torch.manual_seed(seed)
    config = transformers.RobertaConfig(
        **SIZES, vocab_size=10, max_position_embeddings=66, pad_token_id=1, bos_token_id=2, eos_token_id=3, **more
    )
    return saved(folder, _stirred(transformers.RobertaForMaskedLM(config)), letters())


def esm(folder, seed=0, **more):
    """Save an ESM with rotary positions and its own tokenizer, from a vocabulary of letters."""
    import transformers

    torch.manual_seed(seed)
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["<cls>", "<pad>", "<eos>", "<unk>", "<mask>", *"LAGVTCNXZ"]))
    config = transformers.EsmConfig(
        **{**SIZES, "vocab_size": 14, "max_position_embeddings": 80, "pad_token_id": 1, "mask_token_id": 4,
           "position_embedding_type": "rotary", **more}
    )  # fmt: skip
    return saved(folder, _stirred(transformers.EsmForMaskedLM(config)), transformers.EsmTokenizer(folder / "vocab.txt"))


def _stirred(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model
