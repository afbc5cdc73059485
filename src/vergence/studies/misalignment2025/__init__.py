"""The numerical study of [cai2025]: theory and measurement side by side over every misalignment."""

from vergence.studies.misalignment2025.runner import run_study, table
from vergence.studies.misalignment2025.spec import SCALES, RunSpec, Scale
from vergence.studies.misalignment2025.studies import STUDIES, Study, study_of

__all__ = ["SCALES", "STUDIES", "RunSpec", "Scale", "Study", "run_study", "study_of", "table"]
