"""The forecast study until it is a `Study`."""

from pathlib import Path
from typing import Any

from rich.console import RenderableType

from vergence.studies.forecast.runner import run_forecast
from vergence.studies.forecast.show import show


class OldForecast:
    """What the command line needs of it."""

    name = "forecast"
    description = "biases injected into the embedded set's captions: audit, forecast, train, hits and misses"

    def run(self, **options: Any) -> dict[str, Any]:
        """Run it."""
        return run_forecast(**options)

    def show(self, verdict: dict[str, Any], folder: Path) -> RenderableType:
        """Lay out a verdict."""
        return show(verdict, folder)
