"""Image and text encoders, and the pair of them that contrastive training fits."""

from vergence.encoders.conv import ConvEncoder
from vergence.encoders.dual import DualEncoder
from vergence.encoders.text import BagOfWordsEncoder, Vocabulary

__all__ = ["BagOfWordsEncoder", "ConvEncoder", "DualEncoder", "Vocabulary"]
