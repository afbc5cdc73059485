"""Checks every annotation of the package at run time, shapes included, in all tests and doctests.

What users get wrong is to be refused by the package, not by these checks: `tests/fuzz` runs without them, and only with
`VERGENCE_PLAIN=1`.
"""

import os
from importlib import import_module
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

PLAIN = bool(os.environ.get("VERGENCE_PLAIN"))
if not PLAIN:  # an int is welcome where a float is asked for
    install_import_hook("vergence", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

# Derandomised: a red run can be repeated, and the same commit always gives the same verdict.
settings.register_profile(
    "vergence", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("random", parent=settings.get_profile("vergence"), derandomize=False)
settings.load_profile("vergence")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Fuzz without the checks, everything else with them."""
    fuzz = Path(__file__).parent / "tests" / "fuzz"
    return True if collection_path.suffix == ".py" and collection_path.is_relative_to(fuzz) != PLAIN else None


def pytest_collect_file(file_path: Path) -> None:
    """Import the package of a module first: pytest would run a second time a module that its package has imported."""
    source = Path(__file__).parent / "src"
    if file_path.suffix == ".py" and file_path.is_relative_to(source):
        import_module(".".join(file_path.relative_to(source).parts[:-1]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the tests that found no browser, in one line."""
    from tests.browser import said_of_skips

    reasons = [str(report.longrepr) for report in terminalreporter.getreports("skipped")]
    if line := said_of_skips(reasons):
        terminalreporter.write_line(line)
