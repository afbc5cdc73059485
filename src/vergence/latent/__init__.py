"""The latent variable model of [cai2025]: sampling, mixing, and what theory predicts of them."""

from vergence.latent.captioning import Captioning, Rounded
from vergence.latent.dependence import Dependence, Gaussian, Independent, wishart
from vergence.latent.mixing import (
    CouplingMixing,
    LayeredMixing,
    Mixing,
    condition_numbers,
    flow_mixing,
    mlp_mixing,
    orthogonal_mixing,
)
from vergence.latent.model import LatentModel, Latents
from vergence.latent.oracle import Oracle, oracle_matthews, oracle_r2, record_r2
from vergence.latent.perturbation import replacement
from vergence.latent.shift import Decouple, HeavyTail, Scale, Shift, Shifted
from vergence.latent.structural import (
    Equation,
    Linear,
    Nonlinear,
    StructuralEquations,
    linear_equations,
    nonlinear_equations,
    random_graph,
)

__all__ = [
    "Captioning",
    "CouplingMixing",
    "Decouple",
    "Dependence",
    "Equation",
    "Gaussian",
    "HeavyTail",
    "Independent",
    "LatentModel",
    "Latents",
    "LayeredMixing",
    "Linear",
    "Mixing",
    "Nonlinear",
    "Oracle",
    "Rounded",
    "Scale",
    "Shift",
    "Shifted",
    "StructuralEquations",
    "condition_numbers",
    "flow_mixing",
    "linear_equations",
    "mlp_mixing",
    "nonlinear_equations",
    "oracle_matthews",
    "oracle_r2",
    "orthogonal_mixing",
    "random_graph",
    "record_r2",
    "replacement",
    "wishart",
]
