"""The default image-text set that comes with the package, and splits that keep a concept on one side."""

from vergence.data.emoji import EmojiSet, EncodedImages, load_emoji
from vergence.data.splits import split_by_concept

__all__ = ["EmojiSet", "EncodedImages", "load_emoji", "split_by_concept"]
