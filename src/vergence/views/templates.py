"""From factor values to captions: what the text records of them, and how it is worded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from vergence.channels import Channel, Redraw, stated
from vergence.checks import known_factors
from vergence.errors import ConfigError, FactorError
from vergence.factors import Factor, FactorSpace
from vergence.latent.captioning import rates_of
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
    labels: pd.DataFrame, space: FactorSpace, misalignment: Misalignment, *, generator: torch.Generator
) -> pd.DataFrame:
    r"""What a text records of the true values: omitted factors are gone, some are passed over, some are wrong.

    Source: [cai2025], $\tilde s_{I_\theta}$. Each factor goes through its channel and is mentioned at its rate,
    independently for each item and factor. A value that is not stated stays so. The draws of one factor do not depend
    on what happens to the others.

    Args:
        labels: True values by factor, `None` where not stated.
        space: All factors; those that are perturbed or mentioned at times must be discrete.
        misalignment: What the text says of them.
        generator: Draws wrong values and omissions.

    Returns:
        The mentioned columns, in the order of the space.

    Raises:
        FactorError: If a factor is not in the space, has no column, does not fit its channel, or is continuous and not
            always said exactly.

    Example:
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("shape", ("cube", "ball")), Factor("tone", ("dark", "light"))))
        >>> labels = pd.DataFrame({"shape": ["cube", "ball"], "tone": ["dark", None]})
        >>> text_record(labels, space, Misalignment({"shape"}), generator=torch.Generator())["shape"].tolist()
        ['cube', 'ball']
    """
    misalignment.check(space)
    known_factors(sorted(misalignment.selected), labels.columns)
    record = labels[[name for name in space if name in misalignment.selected]].copy()
    # Every factor draws, so that the draws of one do not depend on the others; omissions after what is said.
    drawn = {
        name: (
            torch.rand(len(labels), generator=generator),
            torch.randint(len(factor.values or "_"), (len(labels),), generator=generator).numpy(),
        )
        for name, factor in space.items()
    }
    omitted = {name: torch.rand(len(labels), generator=generator) for name in space}
    for name in map(str, record.columns):
        factor, rate = space[name], misalignment.mention[name]
        if name not in misalignment.channels and rate == 1.0:
            continue
        if factor.values is None:
            raise FactorError(
                f"only a discrete factor can be redrawn from its values or left out at times; {name!r} is continuous"
            )
        if isinstance(record[name].dtype, pd.CategoricalDtype):
            record[name] = record[name].astype(object)  # a categorical column may lack the value that is drawn
        shown = np.array([-1 if pd.isna(value) else factor.index(value) for value in labels[name]], dtype=np.int64)
        present = shown >= 0
        if name in misalignment.channels:
            said = _said(stated(misalignment.channels[name], factor), factor, shown, *drawn[name])
            changed = present & (said != shown)
            record.loc[changed, name] = np.array(factor.values, dtype=object)[said[changed]]
        spoken = omitted[name] < rates_of(rate, torch.from_numpy(shown).to(torch.get_default_dtype()), name)
        record[name] = record[name].where(spoken.numpy() | ~present, None)
    return record


def _said(channel: Channel, factor: Factor, shown: np.ndarray, uniform: torch.Tensor, choice: np.ndarray) -> np.ndarray:
    """Positions of what is said, by position of what is shown; from a uniform number and a value chosen uniformly."""
    if isinstance(channel, Redraw):
        return np.where(uniform.numpy() < channel.probability, choice, shown)
    channel.check(factor)
    table = channel.table(factor)
    if table is None:
        raise FactorError(f"captions of factor {factor.name!r} cannot be drawn from {channel!r}; give a table")
    limits = np.asarray(table).cumsum(axis=0)[:-1, shown]
    return np.asarray((uniform.double().numpy() >= limits).sum(axis=0))


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
