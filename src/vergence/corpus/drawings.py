"""The drawings that come with the package as a corpus: a table as anyone's, with captions of a kind, and a lexicon."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vergence import __version__
from vergence.checks import one_of
from vergence.corpus.lexicon import Concept, Group, Lexicon
from vergence.data import POLICIES, STYLE, load_emoji, load_emoji_tags, write_captions
from vergence.data.captioned import longer_phrases
from vergence.factors import FactorSpace
from vergence.files import whole
from vergence.folders import JobFolder, WhenPresent
from vergence.random import check_seed

CORPUS, LEXICON, CARD = "drawings.parquet", "lexicon.yaml", "drawings.json"


def build_drawings(
    out: Path,
    *,
    captions: str = "labels",
    seed: int = 0,
    present: WhenPresent = "refuse",
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the drawings as a corpus: `drawings.parquet`, `lexicon.yaml` and, last, `drawings.json`.

    The table has a row for each drawing: `key`; `image`, a WebP file of 64 x 64 pixels; `caption`; `concept`, equal for
    drawings of one thing in other tones and genders; `label` and `tags` as emojibase has them; and what the drawing
    shows, `skin_tone`, `gender`, `group` and `subgroup`, null where it is not stated.

    Args:
        out: The folder.
        captions: A policy of `vergence.data.POLICIES`.
        seed: Of the captions, >= 0.
        present: What to do if the folder is not empty: see `JobFolder.claim`.
        about: What else `drawings.json` is to say.

    Returns:
        What `drawings.json` says.

    Raises:
        ConfigError: If a setting is unknown or out of range, or the folder cannot be used.
    """
    one_of("captions", captions, POLICIES)
    check_seed(seed)
    emoji = load_emoji()
    job = {"job": "drawings", "captions": captions, "seed": seed, "vergence": __version__}
    folder = JobFolder.claim(out, job, present=present)
    card: dict[str, Any] = {**job, "rows": len(emoji), "captions_are": POLICIES[captions].description, **(about or {})}
    table = pa.table(
        {
            "key": emoji.keys,
            "image": pa.array([emoji.images.file(row) for row in range(len(emoji))], pa.binary()),
            "caption": write_captions(emoji, captions, seed=seed),
            "concept": emoji.clusters.tolist(),
            "label": emoji.texts,
            "tags": [list(tags) for tags in load_emoji_tags()],
            **{name: pa.array(emoji.labels[name], pa.string()) for name in emoji.space},
        }
    )
    with whole(folder.path / CORPUS, of_job=True) as partial:
        pq.write_table(table, partial, row_group_size=1024)
    folder.write_text(LEXICON, drawings_lexicon(emoji.space).to_yaml())
    folder.write_json(CARD, card)
    return card


def drawings_lexicon(space: FactorSpace) -> Lexicon:
    """The phrases by which captions of a policy mention the factors of the drawings."""
    words = {
        factor.name: {value: (STYLE.word(factor.name, value),) for value in factor.values or ()}
        for factor in space.factors
    }
    return lexicon_of_phrases("drawings", words)


def lexicon_of_phrases(name: str, phrases: Mapping[str, Mapping[str, Sequence[str]]]) -> Lexicon:
    """A lexicon of the phrases by which values of factors are mentioned.

    A phrase within a longer one, as "person" in "person role", does not count there.
    """
    groups = (
        Group(factor, tuple(Concept(value, tuple(own), longer_phrases(phrases, own)) for value, own in values.items()))
        for factor, values in phrases.items()
    )
    return Lexicon(name, tuple(groups))
