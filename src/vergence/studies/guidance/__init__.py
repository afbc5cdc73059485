"""The guidance of [cai2025] put to the test: what to leave out of captions, and what it buys."""

from vergence.studies.guidance.robustness import STUDIES

__all__ = ["STUDIES"]
