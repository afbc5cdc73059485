"""Image sets whose factors are known: their names and values, what captions may name, and how their labels are drawn.

Readers of the official files, generators and captions speak of the same spaces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType

import pandas as pd
import torch
from torch import Tensor

from vergence.checks import at_least
from vergence.errors import ConfigError, unknown
from vergence.factors import Factor, FactorSpace
from vergence.latent.structural import Equation, StructuralEquations


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """An image set whose factors are known.

    Args:
        name: What commands call it.
        space: All factors, in the order of the official files; the last varies fastest.
        captioned: Those that captions may name; the others are the image's own.
        equations: How factors cause each other; independent and uniform if `None`.
    """

    name: str
    space: FactorSpace
    captioned: tuple[str, ...]
    equations: StructuralEquations | None = None

    @property
    def size(self) -> int | None:
        """Images of the whole grid; `None` if a factor is continuous."""
        sizes = [len(factor.values or ()) for factor in self.space.factors]
        return prod(sizes) if all(sizes) else None

    def coarse(self, values: Mapping[str, int]) -> "Scenes":
        """The same with fewer, evenly spaced values of some factors, the first among them.

        Args:
            values: How many, by factor; at least 2, at most as many as it has.

        Raises:
            ConfigError: If that cannot be.
        """
        factors = []
        for factor in self.space.factors:
            n, all_values = values.get(factor.name), factor.values or ()
            if n is not None and not 2 <= n <= len(all_values):
                raise ConfigError(f"values of {factor.name!r} must be in [2, {len(all_values)}]; got {n}")
            kept = all_values if n is None else tuple(all_values[i * len(all_values) // n] for i in range(n))
            factors.append(replace(factor, values=kept or None))
        return replace(self, space=FactorSpace(tuple(factors)))

    def draw(self, n: int, *, generator: torch.Generator) -> pd.DataFrame:
        """Draw the labels of n images: of a grid no combination comes twice.

        Args:
            n: How many, at least 1; of a grid at most its size.
            generator: Source of randomness; the first k of n rows do not depend on n.

        Returns:
            One column for each factor: names of values, or numbers in [0, 1].

        Raises:
            ConfigError: If the grid has fewer.

        Example:
            >>> labels = SCENES["shapes3d-like"].draw(3, generator=torch.Generator().manual_seed(0))
            >>> labels.shape, labels["shape"].isin(["cube", "cylinder", "sphere", "capsule"]).all()
            ((3, 6), np.True_)
        """
        at_least("n", n, 1)
        if self.size is not None:
            if n > self.size:
                raise ConfigError(f"n must be <= {self.size:,}, the images of {self.name}; got {n:,}")
            return self.rows(torch.randperm(self.size, generator=generator)[:n])
        columns: dict[str, list[object]] = {factor.name: [] for factor in self.space.factors}
        for start in range(0, n, _BLOCK):  # whole blocks, so that n does not change what is drawn
            drawn = self._block(generator)
            for name, values in drawn.items():
                columns[name] += values[: n - start]
        return pd.DataFrame(columns)

    def rows(self, numbers: Tensor) -> pd.DataFrame:
        """Labels of some images of a grid, by their place in it."""
        columns = {}
        left = numbers.long()
        for factor in reversed(self.space.factors):
            values = factor.values or ()
            columns[factor.name] = [values[place] for place in (left % len(values)).tolist()]
            left = left // len(values)
        return pd.DataFrame({name: columns[name] for name in self.space})

    def _block(self, generator: torch.Generator) -> dict[str, list[object]]:
        assert self.equations is not None
        values: dict[str, Tensor] = {}
        for name in self.space:
            equation = self.equations.equations[name]
            parents = [values[parent] for parent in equation.parents]
            given = torch.stack(parents, 1) if parents else torch.zeros(_BLOCK, 0)
            values[name] = equation.mechanism(given, torch.rand(_BLOCK, generator=generator))
        return {
            factor.name: [v if factor.values is None else factor.values[int(v)] for v in values[factor.name].tolist()]
            for factor in self.space.factors
        }


_BLOCK = 1024


def scenes(name: str) -> Scenes:
    """Look an image set up.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in SCENES:
        raise ConfigError(unknown("image set", name, SCENES))
    return SCENES[name]


def _counted(name: str, n: int) -> Factor:
    return Factor(name, tuple(map(str, range(n))))


_HUES = tuple(f"{tenth / 10:.1f}" for tenth in range(10))  # parts of the colour circle, from red
_MPI3D_REST = (
    Factor("size", ("small", "large")),
    Factor("camera", ("top", "center", "bottom")),
    Factor("background", ("purple", "sea-green", "salmon")),
    _counted("horizontal", 40),
    _counted("vertical", 40),
)
_THIRDS = ("left", "middle", "right"), ("front", "middle", "back")


def _drawn_of(n: int) -> Equation:
    return Equation((), lambda parents, u: (u * n).floor().clamp(max=n - 1), "uniform")


def _uniform() -> Equation:
    return Equation((), lambda parents, u: u, "uniform")


_CAUSAL3DIDENT = StructuralEquations(  # [cai2025]: edges and mechanisms of their Causal3DIdent
    {
        "shape": _drawn_of(7),
        "x": _drawn_of(3),
        "y": _drawn_of(3),
        "spot_position": _uniform(),
        "object_hue": Equation(("x", "y"), lambda parents, u: (parents.mean(1) + u) / 3, "uniform"),
        "spot_hue": Equation(("spot_position",), lambda parents, u: (parents[:, 0] + u) / 2, "uniform"),
        "background_hue": Equation(
            ("spot_position", "spot_hue"), lambda parents, u: (parents.sum(1) + u) / 3, "uniform"
        ),
        "rotation_alpha": _uniform(),
        "rotation_beta": _uniform(),
        "rotation_gamma": _uniform(),
    }
)

SCENES: Mapping[str, Scenes] = MappingProxyType(
    {
        one.name: one
        for one in (
            Scenes(
                name="dsprites",
                space=FactorSpace(
                    (
                        Factor("shape", ("square", "ellipse", "heart")),
                        Factor("scale", ("0.5", "0.6", "0.7", "0.8", "0.9", "1.0")),
                        _counted("orientation", 40),
                        _counted("x", 32),
                        _counted("y", 32),
                    )
                ),
                captioned=("shape", "scale", "orientation", "x", "y"),
            ),
            Scenes(
                name="shapes3d-like",
                space=FactorSpace(
                    (
                        Factor("floor_hue", _HUES),
                        Factor("wall_hue", _HUES),
                        Factor("object_hue", _HUES),
                        _counted("scale", 8),
                        Factor("shape", ("cube", "cylinder", "sphere", "capsule")),
                        _counted("orientation", 15),
                    )
                ),
                captioned=("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"),
            ),
            Scenes(
                name="mpi3d-like",
                space=FactorSpace(
                    (
                        Factor("color", ("yellow", "green", "olive", "red")),
                        Factor("shape", ("coffee-cup", "tennis-ball", "croissant", "beer-cup")),
                        *_MPI3D_REST,
                    )
                ),
                captioned=("color", "shape", "size", "camera", "background"),
            ),
            Scenes(
                name="mpi3d-real-like",
                space=FactorSpace(
                    (
                        Factor("color", ("white", "green", "red", "blue", "brown", "olive")),
                        Factor("shape", ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere")),
                        *_MPI3D_REST,
                    )
                ),
                captioned=("color", "shape", "size", "camera", "background"),
            ),
            Scenes(
                name="causal3dident",
                space=FactorSpace(
                    (
                        Factor("shape", ("teapot", "hare", "dragon", "cow", "armadillo", "horse", "head")),
                        Factor("x", _THIRDS[0]),
                        Factor("y", _THIRDS[1]),
                        *(Factor(name) for name in list(_CAUSAL3DIDENT.equations)[3:]),
                    )
                ),
                captioned=("shape", "x", "y", "spot_position", "object_hue", "spot_hue", "background_hue"),
                equations=_CAUSAL3DIDENT,
            ),
        )
    }
)
"""By name. The grids are the published ones; "-like" says that the images stand in for those of the official files."""
