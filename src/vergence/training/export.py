"""An encoder to take away: weights, vocabulary, what it was made of, and a card that says what it is."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vergence.encoders import BagOfWordsEncoder, ConvEncoder, DualEncoder, Vocabulary
from vergence.errors import CorpusError
from vergence.losses import process_rank
from vergence.misalignment import Misalignment
from vergence.random import named
from vergence.training.checkpoint import whole_state, write_tensors, write_text
from vergence.training.pairs import Captioned
from vergence.training.spec import EncoderConfig, RunConfig, from_mapping

_WEIGHTS, _WORDS, _SHAPE = "encoder.safetensors", "vocabulary.json", "encoder.json"


def make_encoder(config: EncoderConfig, vocabulary: Vocabulary, *, seed: int) -> DualEncoder:
    """Make encoders, initialised from a stream of their own; torch's own stream is left as it was.

    Example:
        >>> encoder = make_encoder(EncoderConfig(dim=4), Vocabulary.of(["a red cube"]), seed=0)
        >>> encoder.image(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 4])
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(named(seed, "weights").initial_seed())
        return DualEncoder(
            ConvEncoder(config.dim, widths=config.widths, hidden=config.hidden),
            BagOfWordsEncoder(len(vocabulary), config.dim, width=config.word_width, hidden=config.hidden),
        )


def save_encoder(folder: Path, encoder: DualEncoder, vocabulary: Vocabulary, config: RunConfig, *, card: str) -> None:
    """Write what `load_encoder` reads, and the card; every process calls it, and the first one writes.

    Args:
        folder: Where to.
        encoder: Made by `make_encoder`.
        vocabulary: What its text encoder numbers words with.
        config: What it was made from.
        card: What to say about it: `README.md`.
    """
    weights = whole_state(encoder)
    if process_rank() > 0:
        return
    write_tensors(folder / _WEIGHTS, weights, {"format": "pt"})
    write_text(folder / _WORDS, vocabulary.to_json() + "\n")
    shape = config.to_mapping()["encoder"] | {"side": config.data.side}
    write_text(folder / _SHAPE, json.dumps(shape, indent=2) + "\n")
    write_text(folder / "README.md", card)


def load_encoder(folder: Path) -> tuple[DualEncoder, Vocabulary]:
    """Restore an encoder that `vergence train` exported.

    Args:
        folder: The `encoder` folder of a run, or a copy of it.

    Returns:
        The encoder, in evaluation mode on the CPU, and the vocabulary to number its texts with.

    Raises:
        CorpusError: If a file is missing or damaged, or files do not belong together; one line.

    Example:
        >>> import tempfile
        >>> vocabulary, config = Vocabulary.of(["a red cube"]), RunConfig()
        >>> encoder = make_encoder(config.encoder, vocabulary, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_encoder(Path(folder), encoder, vocabulary, config, card="")
        ...     same, words = load_encoder(Path(folder))
        >>> torch.equal(same.text.head[0].weight, encoder.text.head[0].weight), words == vocabulary
        (True, True)
    """
    try:
        vocabulary = Vocabulary.from_json((folder / _WORDS).read_text(encoding="utf-8"))
        shape = json.loads((folder / _SHAPE).read_text(encoding="utf-8"))
        shape.pop("side")
        encoder = make_encoder(from_mapping(EncoderConfig, shape), vocabulary, seed=0)
        encoder.load_state_dict(load_file(folder / _WEIGHTS))
    except FileNotFoundError as error:
        missing = error.filename or folder / _WEIGHTS
        raise CorpusError(f"{missing} does not exist; pass the folder of an export") from error
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorpusError(f"{folder} holds no whole encoder ({reason}); export it again") from error
    return encoder.eval(), vocabulary


def model_card(
    config: RunConfig,
    data: Captioned,
    metrics: dict[str, float],
    versions: dict[str, str],
    *,
    vocabulary: Vocabulary,
) -> str:
    """Say what an encoder was trained on, to what end, how far it came, and how to load it."""
    encoder = config.encoder
    sizes = f"output {encoder.dim}; convolutions {', '.join(map(str, encoder.widths))}; heads {encoder.hidden}"
    made_by = ", ".join(f"{name} {number}" for name, number in versions.items())
    terms = [
        f"- `{name}`: {term.loss}, weight {term.weight}, settings {term.settings or 'default'}"
        + (f", learned: {', '.join(term.learn)}" if term.learn else "")
        for name, term in config.objective.items()
    ]
    numbers = [f"| {name} | {value:.6g} |" for name, value in metrics.items()]
    return "\n".join(
        [
            "# Dual image-text encoder",
            "",
            "## Trained on",
            f"{data.source}. {len(data.fit)} pairs to train on, {len(data.held_out)} held out.",
            "",
            _bias(data.misalignment),
            "",
            "## Objective",
            *terms,
            "",
            "## Sizes",
            f"Images 3 x {config.data.side} x {config.data.side} in [0, 255]; {len(vocabulary)} words; {sizes}.",
            "",
            "## Results of the last epoch",
            "| | value |",
            "| --- | --- |",
            *numbers,
            "",
            "## Load",
            "```python",
            "from pathlib import Path",
            "from vergence.training import load_encoder",
            "",
            'encoder, vocabulary = load_encoder(Path("."))  # this folder',
            'z_text = encoder.text(vocabulary.encode(["a red cube"]))',
            "```",
            "",
            f"Versions: {made_by}. Seed {config.seed}. All settings: `config.yaml` beside this folder.",
            "",
        ]
    )


def _bias(misalignment: Misalignment | None) -> str:
    if misalignment is None:
        return "Which factors the captions mention, and which they get wrong, is not known."
    mentioned, wrong = (", ".join(sorted(names)) for names in (misalignment.selected, misalignment.perturbed))
    return f"Captions mention {mentioned} and " + (f"may get {wrong} wrong." if wrong else "get them right.")
