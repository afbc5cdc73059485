"""Every study by name: the one table of studies."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from vergence.errors import ConfigError, unknown
from vergence.studies.captioning import STUDIES as CAPTIONING
from vergence.studies.causal import CausalStudy
from vergence.studies.demo.study import DemoStudy
from vergence.studies.forecast.study import ForecastStudy
from vergence.studies.guidance import STUDIES as GUIDANCE
from vergence.studies.images import STUDIES as IMAGES
from vergence.studies.misalignment2025 import STUDIES as NUMERIC
from vergence.studies.spectrum import SpectrumStudy
from vergence.studies.study import Study


def study(name: str | None) -> Study[Any]:
    """Look a study up.

    Raises:
        ConfigError: If there is none of that name, or no name, naming those that there are.
    """
    if name is None:
        raise ConfigError(f"name a study to run: {', '.join(STUDIES)}")
    if name not in STUDIES:
        raise ConfigError(unknown("study", name, STUDIES))
    return STUDIES[name]


STUDIES: Mapping[str, Study[Any]] = MappingProxyType(
    {
        **NUMERIC,
        "spectrum-numeric": SpectrumStudy(),
        **{study.name: study for study in (*IMAGES, *GUIDANCE, *CAPTIONING)},
        "demo": DemoStudy(),
        "forecast": ForecastStudy(),
        "awareness-causal": CausalStudy(),
    }
)
