"""The image experiments of both papers, on image sets whose factors are known."""

from vergence.studies.images import bottleneck, levers, misalignment

STUDIES = (*misalignment.STUDIES, *bottleneck.STUDIES, *levers.STUDIES)
