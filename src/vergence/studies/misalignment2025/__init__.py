"""The numerical study of [cai2025]: theory and measurement side by side over every misalignment."""

from vergence.studies.misalignment2025.spec import SCALES, RunSpec, Scale, Trial
from vergence.studies.misalignment2025.studies import STUDIES, NumericStudy

__all__ = ["SCALES", "STUDIES", "NumericStudy", "RunSpec", "Scale", "Trial"]
