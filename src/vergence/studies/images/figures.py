"""Figures of the image studies: scores over a sweep, beside floor, ceiling and what was predicted."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vergence.plots.sweep import Spacing, scores_over_sweep
from vergence.studies.study import Drawing

_CAPTION = (
    "Mean over factors of each kind, read by a small network from unit vectors of unseen images. Points are means over "
    "seeds, bars the range of the seeds; the broad mark beside each is what was predicted, from its lower to its upper "
    "bound, and a dash what is expected within bounds."
)


def sweep(
    rows: pd.DataFrame,
    *,
    over: str,
    label: str,
    score: str,
    titles: Mapping[Any, str],
    panels: str = "side",
    spacing: Spacing = "linear",
    caption: str = "",
) -> Drawing:
    """Draw scores over a setting, a panel for each side or whatever else is told apart.

    Args:
        rows: Of a study's table, of one probe and one score.
        over: Column of the swept setting.
        label: What it is, at its axis.
        score: What the scores are.
        titles: Of the panels, by the values of their column.
        panels: Column that tells panels apart.
        spacing: How settings are placed.
        caption: What to say before how to read it.
    """
    kinds = rows.assign(kind=rows["role"])
    there = {value: title for value, title in titles.items() if (kinds[panels] == value).any()}
    wide, narrow = (
        scores_over_sweep(
            kinds, over=over, label=label, panels=panels, titles=there, score=score, spacing=spacing, layout=layout
        )
        for layout in ("wide", "narrow")
    )
    return Drawing(" ".join([caption, _CAPTION]).strip(), wide, narrow)
