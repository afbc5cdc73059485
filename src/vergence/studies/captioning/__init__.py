"""Captioning with a query transformer on tokens of a frozen encoder: β, the channel of captions, arithmetic."""

from vergence.studies.captioning import arithmetic, beta, channel

STUDIES = (beta.STUDY, channel.STUDY, arithmetic.STUDY)

__all__ = ["STUDIES"]
