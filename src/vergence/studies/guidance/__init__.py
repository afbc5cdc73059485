"""The guidance of [cai2025] put to the test: what to say in captions, what to leave out of them, and what it buys."""

from typing import Any

from vergence.studies.guidance.ethics import EthicsStudy
from vergence.studies.guidance.planned import PlannedStudy
from vergence.studies.guidance.pretraining import PretrainingStudy
from vergence.studies.guidance.robustness import STUDIES as TIED
from vergence.studies.guidance.tied_people import TiedPeopleStudy
from vergence.studies.study import Study

STUDIES: tuple[Study[Any], ...] = (*TIED, PlannedStudy(), PretrainingStudy(), EthicsStudy(), TiedPeopleStudy())

__all__ = ["STUDIES"]
