"""The default image-text set that comes with the package, ways to caption it, and readers of pairs."""

from vergence.data.emoji import EncodedImages, load_emoji
from vergence.data.policies import POLICIES, STYLE, Policy, write_captions
from vergence.splits import split_by_concept

__all__ = [
    "POLICIES",
    "STYLE",
    "EncodedImages",
    "Policy",
    "load_emoji",
    "split_by_concept",
    "write_captions",
]
