"""Taggers and writers from folders of `transformers`: nothing is fetched, nothing is drawn."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

import torch

from vergence.encoders.pretrained import transformers_model
from vergence.encoders.pretrained_pairs import require_tokenizer, transformers_tokenizer
from vergence.errors import ConfigError, CorpusError
from vergence.files import read_json

_UNIVERSAL = frozenset(
    [
        "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
        "SYM", "VERB", "X",
    ]
)  # fmt: skip
_TREEBANK: Mapping[str, str] = MappingProxyType({"NN": "NOUN", "NNS": "NOUN", "NNP": "PROPN", "NNPS": "PROPN"})
_BATCH = 64


class FolderTagger:
    """Parts of speech by a token classifier.

    Args:
        folder: What `save_pretrained` of the model and of its tokenizer wrote; its labels are universal parts of
            speech, or the Penn Treebank's.

    Raises:
        CorpusError: If the folder cannot be loaded.
        ConfigError: If its labels are others.
        MissingExtraError: If `transformers` is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        self._model, self._tokenizer = _loaded(
            Path(folder), "AutoModelForTokenClassification", ("ForTokenClassification",)
        )
        labels = {int(number): str(name) for number, name in self._model.config.id2label.items()}
        self._tags = {
            number: _TREEBANK.get(name, name if name in _UNIVERSAL else "X") for number, name in labels.items()
        }
        if "NOUN" not in self._tags.values():
            raise ConfigError(
                f"{folder} tells {', '.join(list(labels.values())[:6])} apart; a tagger knows NOUN, VERB and so on"
            )
        self._lock = Lock()  # tokenizers are changed while they pad

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[list[tuple[int, int, str]]]:
        """The words of texts: first character, the one after the last, part of speech."""
        found: list[list[tuple[int, int, str]]] = []
        for first in range(0, len(texts), _BATCH):
            some = list(texts[first : first + _BATCH])
            with self._lock:
                coded = self._tokenizer(
                    some, padding=True, truncation=True, return_offsets_mapping=True, return_tensors="pt"
                )
            offsets = coded.pop("offset_mapping").tolist()
            labels = self._model(**coded).logits.argmax(dim=-1).tolist()
            for n, _ in enumerate(some):
                found.append(self._words(coded.word_ids(n), offsets[n], labels[n]))
        return found

    def _words(self, words: Sequence[int | None], offsets: Sequence[Any], labels: Sequence[int]) -> list[Any]:
        """A word has the tag of its first token."""
        spans: dict[int, tuple[int, int, str]] = {}
        for word, (start, end), label in zip(words, offsets, labels, strict=True):
            if word is not None:
                first, _, tag = spans.get(word, (start, end, self._tags[label]))
                spans[word] = (first, end, tag)
        return list(spans.values())


class FolderWriter:
    """What a model writes after prompts, always the likeliest token.

    Args:
        folder: What `save_pretrained` of a causal or sequence-to-sequence language model and of its tokenizer wrote. A
            chat template is used where there is one.

    Raises:
        CorpusError: If the folder cannot be loaded, or is of another kind.
        MissingExtraError: If `transformers` is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self._pairs = bool(_config(folder).get("is_encoder_decoder"))
        kind = "AutoModelForSeq2SeqLM" if self._pairs else "AutoModelForCausalLM"
        self._model, self._tokenizer = _loaded(folder, kind, ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"))
        self._tokenizer.padding_side = "right" if self._pairs else "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.convert_ids_to_tokens(0)
        self._lock = Lock()

    @torch.inference_mode()
    def __call__(self, prompts: Sequence[str]) -> list[str]:
        """What follows each prompt."""
        written: list[str] = []
        for first in range(0, len(prompts), _BATCH):
            some = [self._framed(prompt) for prompt in prompts[first : first + _BATCH]]
            with self._lock:
                coded = self._tokenizer(some, padding=True, return_tensors="pt", add_special_tokens=not self._chats)
            coded.pop("token_type_ids", None)
            width = coded["input_ids"].shape[1]
            out = self._model.generate(**coded, generation_config=self._greedy(width))
            fresh = out if self._pairs else out[:, width:]
            written += self._tokenizer.batch_decode(fresh, skip_special_tokens=True)
        return written

    @property
    def _chats(self) -> bool:
        return getattr(self._tokenizer, "chat_template", None) is not None

    def _framed(self, prompt: str) -> str:
        if not self._chats:
            return prompt
        asked = [{"role": "user", "content": prompt}]
        return str(self._tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True))

    def _greedy(self, width: int) -> Any:
        transformers: Any = importlib.import_module("transformers")
        own = self._model.generation_config
        return transformers.GenerationConfig(
            do_sample=False, num_beams=1, max_new_tokens=min(256, max(16, width)),
            pad_token_id=self._tokenizer.pad_token_id, eos_token_id=own.eos_token_id, bos_token_id=own.bos_token_id,
            decoder_start_token_id=getattr(own, "decoder_start_token_id", None),
        )  # fmt: skip


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise CorpusError(f"{folder} holds no config.json; name a folder that save_pretrained of transformers wrote")
    found = read_json(folder / "config.json")
    return found if isinstance(found, dict) else {}


def _loaded(folder: Path, kind: str, names: tuple[str, ...]) -> tuple[Any, Any]:
    """A model of a kind, and its tokenizer."""
    made = [str(name) for name in _config(folder).get("architectures") or []]
    if not any(name.endswith(names) for name in made):
        raise CorpusError(
            f"{folder} holds {', '.join(made) or 'a model of no stated kind'}; needed is one of *{', *'.join(names)}"
        )
    require_tokenizer(folder)
    model = transformers_model(folder, fitted=True, kind=kind)
    return model, transformers_tokenizer(folder, vocabulary=model.get_input_embeddings().weight.shape[0])
