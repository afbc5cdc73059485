"""Captions at scale: what they mention, what they leave out or get wrong, and what they therefore cannot teach."""

from vergence.corpus.lexicon import Concept, Group, Lexicon, concepts_146, lexicon_from_factors, load_lexicon
from vergence.corpus.matching import Matcher, Mentions
from vergence.corpus.wordnet import lexicon_from_wordnet

__all__ = [
    "Concept",
    "Group",
    "Lexicon",
    "Matcher",
    "Mentions",
    "concepts_146",
    "lexicon_from_factors",
    "lexicon_from_wordnet",
    "load_lexicon",
]
