"""From what a text says to captions: how values are worded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
import torch

from vergence.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CaptionStyle:
    """How captions are worded.

    Args:
        phrases: By factor, a format string with `{value}`; a factor without one is worded by its value alone.
        openings: Ways to begin, of which each caption draws one: what text has that images have not; at least one.

    Raises:
        ConfigError: If there is no opening, or a phrase would not say the value.

    Example:
        >>> CaptionStyle(phrases={"tone": "{value} skin"}).word("tone", "dark")
        'dark skin'
    """

    phrases: Mapping[str, str] = field(default_factory=dict)
    openings: Sequence[str] = ("a drawing of", "an emoji showing", "picture of")

    def __post_init__(self) -> None:
        if not self.openings or isinstance(self.openings, str):
            raise ConfigError(f"openings must be at least one text, in a list; got {self.openings!r}")
        for factor, phrase in self.phrases.items():
            try:
                says_it = "\0whole\0" in phrase.format(value="\0whole\0")
            except (KeyError, IndexError, AttributeError, TypeError, ValueError):
                says_it = False
            if not says_it:
                raise ConfigError(f"the phrase of {factor!r} must hold {{value}} and no other field; got {phrase!r}")

    def word(self, factor: str, value: str | float) -> str:
        """Word one value of one factor; a number with three digits."""
        shown = value if isinstance(value, str) else f"{value:.3g}"
        return self.phrases.get(factor, "{value}").format(value=shown)


def render_captions(record: pd.DataFrame, style: CaptionStyle, *, generator: torch.Generator) -> list[str]:
    """Word each row of a record as a caption, mentions in random order after a random opening.

    Args:
        record: Values by factor, `None` where nothing is to be said.
        style: How to word them.
        generator: Draws openings and orders; the draws do not depend on the values.

    Returns:
        One caption for each row.

    Example:
        >>> record = pd.DataFrame({"shape": ["cube"], "tone": [None]})
        >>> render_captions(record, CaptionStyle(openings=["a"]), generator=torch.Generator().manual_seed(0))
        ['a cube']
    """
    openings = torch.randint(len(style.openings), (len(record),), generator=generator).tolist()
    orders = torch.rand(record.shape, generator=generator).argsort(1).tolist()
    columns = list(record.columns)
    captions = []
    for opening, order, row in zip(openings, orders, record.itertuples(index=False), strict=True):
        mentions = [style.word(columns[i], row[i]) for i in order if not pd.isna(row[i])]
        captions.append(f"{style.openings[opening]} {', '.join(mentions)}".strip())
    return captions
