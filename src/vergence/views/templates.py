"""From factor values to captions: what the text records of them, and how it is worded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from vergence.checks import known_factors, probability
from vergence.errors import ConfigError, FactorError
from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment


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

    def word(self, factor: str, value: str) -> str:
        """Word one value of one factor."""
        return self.phrases.get(factor, "{value}").format(value=value)


def text_record(
    labels: pd.DataFrame,
    space: FactorSpace,
    misalignment: Misalignment,
    *,
    perturbation_probability: float = 1.0,
    generator: torch.Generator,
) -> pd.DataFrame:
    r"""What a text records of the true values: omitted factors are gone, perturbed ones may be wrong.

    Source: [cai2025], $\tilde s_{I_\theta}$. A perturbed factor is redrawn uniformly from its values with the given
    probability, independently for each item and factor; the redrawn value may be the true one. A value that is not
    stated stays so. The draws of one factor do not depend on which others are perturbed.

    Args:
        labels: True values by factor, `None` where not stated.
        space: All factors; the perturbed ones must be discrete.
        misalignment: What the text mentions and what it may get wrong.
        perturbation_probability: Chance of a redraw, in [0, 1].
        generator: Draws the perturbation.

    Returns:
        The selected columns, in the order of the space.

    Raises:
        FactorError: If a factor is not in the space, has no column, or is perturbed and continuous.
        ConfigError: If the probability is outside [0, 1].

    Example:
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("shape", ("cube", "ball")), Factor("tone", ("dark", "light"))))
        >>> labels = pd.DataFrame({"shape": ["cube", "ball"], "tone": ["dark", None]})
        >>> text_record(labels, space, Misalignment({"shape"}), generator=torch.Generator())["shape"].tolist()
        ['cube', 'ball']
    """
    probability("perturbation_probability", perturbation_probability)
    misalignment.check(space)
    known_factors(sorted(misalignment.selected), labels.columns)
    record = labels[[name for name in space if name in misalignment.selected]].copy()
    for name in space:  # every factor draws, so that the draws of one do not depend on the others
        values = space[name].values
        redrawn = torch.rand(len(labels), generator=generator).numpy() < perturbation_probability
        choice = torch.randint(len(values) if values else 1, (len(labels),), generator=generator).numpy()
        if name not in misalignment.perturbed:
            continue
        if values is None:
            raise FactorError(f"only a discrete factor can be redrawn from its values; {name!r} is continuous")
        if isinstance(record[name].dtype, pd.CategoricalDtype):
            record[name] = record[name].astype(object)  # a categorical column may lack the value that is drawn
        wrong = redrawn & record[name].notna().to_numpy()
        record.loc[wrong, name] = np.array(values, dtype=object)[choice[wrong]]
    return record


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
