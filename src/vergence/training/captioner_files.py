"""A captioner to take away: weights as safetensors; its words, its shape and its image encoder's as JSON; a card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vergence.encoders.captions import CaptionVocabulary
from vergence.encoders.qformer import QFormer
from vergence.errors import ConfigError, CorpusError, first_line
from vergence.files import read_json, read_text, write_json, write_text
from vergence.tensors import read_tensors, write_tensors
from vergence.training.captioner import Captioner

CAPTIONER = "captioner"
"""The folder of a run that its captioner is written to."""
_SHAPE, _WORDS, _WEIGHTS = "captioner.json", "vocabulary.json", "captioner.safetensors"


def save_captioner(folder: Path, captioner: Captioner, *, about: Mapping[str, Any] | None = None) -> None:
    """Write what `load_captioner` reads.

    Args:
        folder: Where to.
        captioner: What to write; its image encoder is named, not copied.
        about: What else to say of it, as JSON can.

    Raises:
        OutputError: If it cannot be written.
    """
    write_tensors(folder / _WEIGHTS, captioner.model.state_dict(), {"format": "pt"}, of_job=True)
    write_text(folder / _WORDS, captioner.vocabulary.to_json() + "\n", of_job=True)
    shape = {"model": captioner.model.settings, "image": captioner.image, "about": dict(about or {})}
    write_json(folder / _SHAPE, shape, of_job=True)  # last: with it the folder is whole


def load_captioner(folder: str | Path) -> Captioner:
    """Restore a captioner.

    Args:
        folder: Of a run, the `captioner` folder in it, or a copy of that.

    Returns:
        The captioner, in evaluation mode on the CPU.

    Raises:
        CorpusError: If a file is missing or damaged, or files do not belong together; one line.

    Example:
        >>> import tempfile
        >>> vocabulary = CaptionVocabulary.of(["a red cube"])
        >>> model = QFormer(token_dim=6, n_words=len(vocabulary), dim=8, heads=2)
        >>> with tempfile.TemporaryDirectory() as place:
        ...     save_captioner(Path(place), Captioner(model, vocabulary))
        ...     same = load_captioner(place)
        >>> torch.equal(same.model.queries, model.queries), same.vocabulary == vocabulary
        (True, True)
    """
    folder = _found(Path(folder))
    try:
        shape = read_json(folder / _SHAPE)
        vocabulary = CaptionVocabulary.from_json(read_text(folder / _WORDS))
        with torch.random.fork_rng(devices=[]):
            model = QFormer(**shape["model"])
        model.load_state_dict(read_tensors(folder / _WEIGHTS)[0])
        captioner = Captioner(model, vocabulary, image=shape["image"])
    except (ConfigError, KeyError, TypeError, RuntimeError) as error:
        reason = first_line(error)
        raise CorpusError(f"{folder} holds no whole captioner ({reason}); write it again") from error
    return captioner.eval()


def said_of_captioner(folder: str | Path) -> dict[str, Any]:
    """What else was said of a captioner when it was written.

    Raises:
        CorpusError: If there is none.
    """
    held = read_json(_found(Path(folder)) / _SHAPE)
    return dict(held.get("about") or {}) if isinstance(held, Mapping) else {}


def holds_captioner(folder: Path) -> bool:
    """Whether a folder is a captioner's, or that of a run that has one."""
    return any((place / _SHAPE).is_file() for place in (folder, folder / CAPTIONER))


def _found(folder: Path) -> Path:
    for place in (folder, folder / CAPTIONER):
        if (place / _SHAPE).is_file():
            return place
    what = "holds no captioner" if folder.is_dir() else "is no folder" if folder.exists() else "does not exist"
    raise CorpusError(f"{folder} {what}; name the folder of a run of vergence captioner")
