"""Checks every annotation of the package at run time, shapes included, in all tests and doctests."""

import os

os.environ.setdefault("MPLBACKEND", "agg")

from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# An int is welcome where a float is asked for.
install_import_hook("vergence", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

# Derandomised: a red run can be repeated, and the same commit always gives the same verdict.
settings.register_profile(
    "vergence", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("vergence")
