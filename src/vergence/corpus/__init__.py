"""Captions at scale: what they mention, what they leave out or get wrong, and what they therefore cannot teach."""

from vergence.corpus.concept_scores import ConceptScores, concept_scores
from vergence.corpus.coverage import Coverage
from vergence.corpus.engines import Progress, audit, merge_audits
from vergence.corpus.errata import DetectorError, LexiconError
from vergence.corpus.estimate import BiasEstimate, estimate_misalignment
from vergence.corpus.forecast import forecast
from vergence.corpus.intervals import wilson
from vergence.corpus.lexicon import Concept, Group, Lexicon, lexicon_from_factors
from vergence.corpus.lexicon_files import concepts_146, load_lexicon
from vergence.corpus.matching import Matcher, Mentions
from vergence.corpus.readers import ReadOptions
from vergence.corpus.wordnet import lexicon_from_wordnet
from vergence.engines import Engine

__all__ = [
    "BiasEstimate",
    "Concept",
    "ConceptScores",
    "Coverage",
    "DetectorError",
    "Engine",
    "Group",
    "Lexicon",
    "LexiconError",
    "Matcher",
    "Mentions",
    "Progress",
    "ReadOptions",
    "audit",
    "concept_scores",
    "concepts_146",
    "estimate_misalignment",
    "forecast",
    "lexicon_from_factors",
    "lexicon_from_wordnet",
    "load_lexicon",
    "merge_audits",
    "wilson",
]
