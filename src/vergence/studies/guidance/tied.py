"""Images in which a cue goes with a label where encoders and readers learn, and need not elsewhere."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from vergence.checks import inside
from vergence.errors import ConfigError
from vergence.random import named
from vergence.render import render_scenes
from vergence.studies.images.sets import ImageSet
from vergence.studies.images.spec import FIT, TEST, TRAIN, SetSpec

IN, UNTIED, REVERSED = "in domain", "untied", "reversed"
UNTIED_FIT = "untied fit"
_DRAWN = 4  # combinations for each tied image: enough to choose from without repeating one


@dataclass(frozen=True, kw_only=True)
class Tie:
    """Which cue goes with which label, and how often.

    Args:
        label: A discrete factor.
        cue: Another; its values go with those of the label in turn.
        share: How often it has the value that goes with the label, between 0 and 1; else it has any of the others.
    """

    label: str
    cue: str
    share: float

    def __post_init__(self) -> None:
        inside("share", self.share, 0, 1)


@lru_cache(maxsize=1)  # a worker goes from run to run of one set
def tied_set(spec: SetSpec, tie: Tie) -> ImageSet:
    """Draw and render images, no combination of factors twice.

    Returns:
        Parts "train", "fit" and "in domain" have the tie; "untied fit" and "untied" draw the cue independently of the
        label, and in "reversed" it never has the value that goes with the label.

    Raises:
        ConfigError: If the set holds too few images.
    """
    space, n = spec.scenes.space, spec.n_images
    n_fit, n_test = int(n * FIT), int(n * TEST)
    labels = spec.scenes.draw(_DRAWN * n, generator=named(0, spec.name, "tied"))
    values, cues = space[tie.label].values or (), space[tie.cue].values or ()
    partner = {value: cues[place % len(cues)] for place, value in enumerate(values)}
    goes = (labels[tie.cue] == labels[tie.label].map(partner)).to_numpy()
    odds = tie.share / (1 - tie.share) / (goes.mean() / (1 - goes.mean()))
    kept = np.where(goes, min(1.0, odds), min(1.0, 1 / odds))
    tied = np.flatnonzero(torch.rand(len(labels), generator=named(0, spec.name, "kept")).numpy() < kept)[:n]
    after = np.arange(tied[-1] + 1, len(labels))
    untied, rest = np.split(after, [n_fit + n_test])
    reversed_ = rest[~goes[rest]][:n_test]
    if len(tied) < n or len(reversed_) < n_test:
        raise ConfigError(f"{_DRAWN * n:,} drawings do not hold {n:,} with a tie of {tie.share:g} and those without")
    chosen = labels.iloc[np.concatenate([tied, untied, reversed_])].reset_index(drop=True)
    pixels = torch.from_numpy(render_scenes(spec.name, chosen, side=spec.side)).movedim(3, 1).contiguous()
    n_train = int(n * TRAIN)
    sizes = {"train": n_train, "fit": n_fit, IN: n - n_train - n_fit, UNTIED_FIT: n_fit, UNTIED: n_test}
    parts = np.split(np.arange(len(chosen)), np.cumsum(list(sizes.values())))
    return ImageSet(pixels, chosen, space, dict(zip((*sizes, REVERSED), parts, strict=True)))
