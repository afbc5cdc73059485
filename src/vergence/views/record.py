"""What a text says of each item, factor by factor: the one place between what is shown and how it is worded.

A record is a table with a column for each factor that is mentioned and `None` where nothing is said. It comes from the
labels of images (`text_record`) or from sampled latents (`latent_record`), and becomes a caption (`render_captions`);
numeric views render the same latents.
"""

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from vergence.channels import Channel, Redraw, stated
from vergence.checks import known_factors
from vergence.errors import FactorError
from vergence.factors import Factor, FactorSpace
from vergence.latent.captioning import rates_of
from vergence.latent.model import Latents
from vergence.misalignment import Misalignment


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


def latent_record(latents: Latents) -> pd.DataFrame:
    """What the texts of sampled pairs say, so that latents become captions.

    What is mentioned, perturbed and left out was drawn with the pairs: nothing is drawn here.

    Args:
        latents: The pairs, as `LatentModel.sample` gives them.

    Returns:
        A column for each factor that a text may speak of, in the order of the space: names of values for a discrete
        factor, numbers for a continuous one, `None` where nothing is said.

    Example:
        >>> from vergence.latent import LatentModel
        >>> from vergence.random import generator
        >>> from vergence.views import CaptionStyle, render_captions
        >>> space = FactorSpace((Factor("shape", ("cube", "ball")), Factor("tone", ("dark", "light"))))
        >>> latents = LatentModel(space).sample(3, Misalignment({"shape"}), generator=generator(0))
        >>> record = latent_record(latents)
        >>> list(record.columns), len(render_captions(record, CaptionStyle(), generator=generator(1)))
        (['shape'], 3)
    """
    columns = [latents.space.names.index(name) for name in latents.selected]
    said = latents.text_semantics[:, columns]
    return _named(said, latents.space.subset(latents.selected) if latents.selected else None)


def latent_labels(latents: Latents) -> pd.DataFrame:
    """What is the case in sampled pairs: the labels of their images, a column for each factor.

    Args:
        latents: The pairs, as `LatentModel.sample` gives them.

    Returns:
        Names of values for a discrete factor, numbers for a continuous one.
    """
    return _named(latents.semantics, latents.space)


def _named(values: Float[Tensor, "n factors"], space: FactorSpace | None) -> pd.DataFrame:
    """Positions of values as their names; `None` for NaN."""
    factors = space.factors if space else ()
    columns = {}
    for factor, column in zip(factors, values.T.tolist(), strict=True):
        names = factor.values
        columns[factor.name] = [
            None if value != value else value if names is None else names[int(value)]  # noqa: PLR0124 - NaN
            for value in column
        ]
    return pd.DataFrame(columns, index=range(len(values)), dtype=object)
