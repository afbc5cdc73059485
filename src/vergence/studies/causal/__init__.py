"""Whether captions that mention a concept more often make a model see it better: coverage assigned, and as it comes."""

from vergence.studies.causal.study import CausalStudy

__all__ = ["CausalStudy"]
