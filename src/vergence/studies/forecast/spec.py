"""Which biases are injected into the captions of the embedded set."""

from collections.abc import Mapping
from types import MappingProxyType

from vergence.channels import Redraw
from vergence.data import POLICIES, Policy
from vergence.misalignment import Misalignment
from vergence.studies.demo.spec import Recipe
from vergence.training import TrainConfig

FAITHFUL = "faithful"
"""The setting that injects nothing."""

_EVERYTHING = POLICIES[FAITHFUL].misalignment.selected


def _omitted(**rates: float) -> Policy:
    said = ", ".join(f"{name.replace('_', ' ')} left out of a caption with chance {p:g}" for name, p in rates.items())
    mention = {name: 1 - rates.get(name, 0.0) for name in _EVERYTHING}
    return Policy(description=said, misalignment=Misalignment.of_rates(mention))


def _redrawn(factor: str, rate: float) -> Policy:
    return Policy(
        description=f"{factor.replace('_', ' ')} redrawn with chance {rate:g}",
        misalignment=Misalignment(_EVERYTHING, {factor}, channel=Redraw(rate)),
    )


SETTINGS: Mapping[str, Policy] = MappingProxyType(
    {
        FAITHFUL: POLICIES[FAITHFUL],
        "tone omitted 0.5": _omitted(skin_tone=0.5),
        "tone omitted 0.9": _omitted(skin_tone=0.9),
        "tone omitted 1": _omitted(skin_tone=1.0),
        "tone redrawn 0.5": _redrawn("skin_tone", 0.5),
        "tone redrawn 0.9": _redrawn("skin_tone", 0.9),
        "gender omitted 0.9": _omitted(gender=0.9),
        "both omitted 1": _omitted(skin_tone=1.0, gender=1.0),
    }
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {"smoke": Recipe(concepts=150, training=TrainConfig(epochs=1, batch_size=64)), "cpu": Recipe()}
)

SMOKE = (FAITHFUL, "tone omitted 1")
"""Settings of scale smoke."""
