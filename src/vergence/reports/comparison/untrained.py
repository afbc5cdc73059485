"""The encoder of a run as it was before training: what the scores of its images are to be held against."""

from pathlib import Path

from vergence.encoders import DualEncoder, Vocabulary
from vergence.errors import CorpusError
from vergence.files import parse_yaml, read_text
from vergence.splits import SPLIT_FILE, read_split
from vergence.training.export import save_encoder
from vergence.training.mapping import from_mapping
from vergence.training.spec import RunConfig
from vergence.training.towers import make_image_encoder, make_text_encoder

_CONFIG = "config.yaml"


def first_run(path: Path) -> Path | None:
    """The run of `vergence train` in which the encoders of a run began at random.

    It is the run itself, or the one that it started from, and so on; `None` of a folder that is no run, or where that
    one is a pretrained model or no longer there.
    """
    if not ((path / _CONFIG).is_file() and (path / "encoder").is_dir()):
        return None
    start = _config(path).start
    return path if start is None else first_run(Path(start.model))


def save_untrained(run: Path, out: Path) -> None:
    """Write the encoder that a run began with, by its configuration and seed, as `load_model` reads it.

    Raises:
        CorpusError: If the run's configuration cannot be read.
    """
    config = _config(run)
    vocabulary = Vocabulary.from_json(read_text(run / "encoder" / "vocabulary.json"))
    image = make_image_encoder(config.encoder, side=config.data.side, seed=config.seed)
    text = make_text_encoder(config.encoder, vocabulary, seed=config.seed)
    encoder = DualEncoder(image, text, side=config.data.side, vocabulary=vocabulary)
    save_encoder(out, encoder, vocabulary, config, card=f"The encoder of {run.name} before training.\n")


def _config(run: Path) -> RunConfig:
    content = parse_yaml(read_text(run / _CONFIG), where=str(run / _CONFIG))
    if not isinstance(content, dict):
        raise CorpusError(f"{run / _CONFIG} is no configuration of a run")
    return from_mapping(RunConfig, content)


def trained_on(run: Path) -> frozenset[str]:
    """Keys of the images that a run was trained on; none where it does not say."""
    if not (run / SPLIT_FILE).is_file() and not (run / "encoder" / SPLIT_FILE).is_file():
        return frozenset()
    rows = read_split(run if (run / SPLIT_FILE).is_file() else run / "encoder").to_pandas()
    return frozenset(rows.loc[(rows["side"] == "fit") & rows["key"].notna(), "key"])
