"""Closing the loop: inject biases at known rates, audit the captions, forecast, train, and count hits and misses."""

from vergence.studies.forecast.runner import run_forecast
from vergence.studies.forecast.spec import SCALES, SETTINGS, Scale

__all__ = ["SCALES", "SETTINGS", "Scale", "run_forecast"]
