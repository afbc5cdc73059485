"""The default image-text set that comes with the package, and splits that keep a concept on one side."""

from vergence.data.emoji import EmojiSet, EncodedImages, load_emoji
from vergence.data.policies import POLICIES, STYLE, Policy, write_captions
from vergence.splits import split_by_concept

__all__ = [
    "POLICIES",
    "STYLE",
    "EmojiSet",
    "EncodedImages",
    "Policy",
    "load_emoji",
    "split_by_concept",
    "write_captions",
]
