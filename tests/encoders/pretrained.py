"""Small models of `transformers` at random, in folders as `save_pretrained` writes them."""

import json
from pathlib import Path
from typing import Any

import torch

WORDS = ["a", "photo", "of", "red", "green", "heart", "dog", "cat", "two", "dogs"]


def save_tokenizer(folder: Path, *, words: list[str] = WORDS, fill: str = "<pad>") -> int:
    """A tokenizer of whole words, as a folder of `transformers` has one; returns how many tokens it has."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<start>", "<unknown>", "<end>"]
    every = {word: number for number, word in enumerate([*special[:3], *words, special[3]])}
    made = Tokenizer(models.WordLevel(every, unk_token="<unknown>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(name, every[name]) for name in ("<start>", "<end>")]
    made.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=ends)
    named = {"pad_token": fill, "bos_token": "<start>", "unk_token": "<unknown>", "eos_token": "<end>"}
    PreTrainedTokenizerFast(tokenizer_object=made, **named).save_pretrained(folder)
    return len(every)


def save_gemma_tokenizer(folder: Path) -> int:
    """A tokenizer of letters of the kind that SigLIP 2 has: lower case, filled up in front; returns how many tokens."""
    import transformers

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    every = {token: number for number, token in enumerate([*special, "▁", *map(chr, range(ord("a"), ord("z") + 1))])}
    transformers.Siglip2Tokenizer(vocab=every, merges=[]).save_pretrained(folder)
    return len(every)


def save_pair(folder: Path, kind: str, *, side: int = 32, seed: int = 0, **processor: Any) -> Any:
    """A CLIP, SigLIP or SigLIP 2 (of fixed resolution: a SigLIP with another tokenizer) of `transformers` at random.

    It is saved with its processor and tokenizer, and returned.
    """
    import transformers

    n_tokens = save_gemma_tokenizer(folder) if kind == "siglip2" else save_tokenizer(folder)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**small, "image_size": side, "patch_size": 8}
    text = {**small, "vocab_size": n_tokens, "max_position_embeddings": 12}
    text |= {"bos_token_id": 1, "eos_token_id": n_tokens - 1, "pad_token_id": 0}
    torch.manual_seed(seed)
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
        model = transformers.CLIPModel(config)
        images = transformers.CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}, **processor
        )
    else:
        config = transformers.SiglipConfig(text_config=text, vision_config=vision)
        model = transformers.SiglipModel(config)
        images = transformers.SiglipImageProcessorPil(size={"height": side, "width": side}, **processor)
    model.eval().save_pretrained(folder)
    images.save_pretrained(folder)
    return model


def edit(file: Path, **changes: Any) -> None:
    """Change some entries of a JSON file; `None` removes one."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
