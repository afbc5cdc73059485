"""The image experiments of both papers, on image sets whose factors are known."""

from vergence.studies.images import misalignment

STUDIES = misalignment.STUDIES
