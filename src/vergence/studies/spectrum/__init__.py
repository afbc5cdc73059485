"""The study of the spectrum: what texts do to each direction, and what size, bottleneck and temperature leave of it."""

from vergence.studies.spectrum.study import SpectrumStudy

__all__ = ["SpectrumStudy"]
