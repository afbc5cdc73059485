"""What the pages of the captioning studies show of pictures."""

from collections.abc import Sequence

import pandas as pd

from vergence.reports.page import Section
from vergence.studies.captioning.spec import CaptionRun
from vergence.studies.study import Finished


def beta(table: pd.DataFrame, runs: Sequence[Finished[CaptionRun]]) -> list[Section]:
    """Captions, and what captions find."""
    return []


def channel(table: pd.DataFrame, runs: Sequence[Finished[CaptionRun]]) -> list[Section]:
    """What each decoder says after each kind of training captions."""
    return []


def arithmetic(table: pd.DataFrame, runs: Sequence[Finished[CaptionRun]]) -> list[Section]:
    """Sums that found the right picture, and sums that did not."""
    return []
