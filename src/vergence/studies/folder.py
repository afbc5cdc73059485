"""The folder of a job, which studies share with training."""

from vergence.training.folder import JobFolder, WhenPresent

__all__ = ["JobFolder", "WhenPresent"]
