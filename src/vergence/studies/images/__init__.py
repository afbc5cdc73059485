"""The image experiments of both papers, on image sets whose factors are known."""

from vergence.studies.images import bottleneck, length, levers, misalignment

STUDIES = (*misalignment.STUDIES, *length.STUDIES, *bottleneck.STUDIES, *levers.STUDIES)
