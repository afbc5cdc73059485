"""Four levers on images: omit or perturb one factor in captions, shrink the output, raise β, change τ; and together.

Captions in words name all that MPI3D's pictures show but the arm's place, and teach a dual encoder by symmetric InfoNCE
of cosines. One factor is the target; what else is lost by removing it is a lever's cost. All is decided before anything
is trained, and what theory says of each setting stands beside it.
"""

from dataclasses import dataclass, replace

from vergence.scenes import scenes
from vergence.studies.images import levers_claims
from vergence.studies.images.law import law_rows
from vergence.studies.images.spec import CAPTIONS, Budget, ImageRun, SetSpec
from vergence.studies.images.study import CPU, SMOKE, ImageStudy, Scale, with_encoder

NAME, TARGET = "mpi3d-like", levers_claims.TARGET
OUTPUTS, TEMPERATURE = 8, 0.1
READINGS = ("image/linear", "image/mlp", "image/share")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where the levers stand.

    Args:
        named: How often captions name the target.
        redrawn: How often they then say a value drawn uniformly.
        outputs: Of both encoders.
        bottleneck: β.
        temperature: τ of cosines.
    """

    named: float = 1.0
    redrawn: float = 0.0
    outputs: int = OUTPUTS
    bottleneck: float = 0.0
    temperature: float = TEMPERATURE


BASE = Setting()
HALF, WRONG = replace(BASE, named=0.5), replace(BASE, redrawn=0.5)
SETTINGS = (
    BASE,
    # one lever
    HALF,
    replace(BASE, named=0.2),
    replace(BASE, named=0.0),
    WRONG,
    replace(BASE, redrawn=0.9),
    replace(BASE, outputs=4),
    replace(BASE, outputs=2),
    replace(BASE, bottleneck=1.0),
    replace(BASE, bottleneck=10.0),
    replace(BASE, temperature=0.03),
    replace(BASE, temperature=0.3),
    replace(BASE, temperature=1.0),
    # several
    replace(HALF, outputs=4),
    replace(HALF, bottleneck=1.0),
    replace(HALF, bottleneck=10.0),
    replace(HALF, temperature=0.3),
    replace(WRONG, outputs=4),
    replace(WRONG, bottleneck=10.0),
    replace(WRONG, temperature=0.3),
    replace(BASE, outputs=4, bottleneck=10.0),
    replace(HALF, outputs=4, bottleneck=10.0),
    replace(BASE, named=0.0, bottleneck=10.0),
    replace(BASE, named=0.0, outputs=4),
)
"""A β of 10 at τ = .1 of cosines has σ* = 2/3, between an omission of half (.71) and a redraw of half (.5)."""

SCALES = (
    SMOKE,
    replace(CPU, seeds=1),
    Scale(
        name="paper",
        n_images=460_800,
        side=64,
        budget=Budget(epochs=20, batch_size=256, learning_rate=1e-3),
        image_encoder="resnet18",
        seeds=2,
    ),
)


def levers(seed: int, sized: Scale) -> list[ImageRun]:
    """Every setting."""
    return [run_of(setting, seed, sized) for setting in SETTINGS[:: sized.stride]]


def run_of(setting: Setting, seed: int, sized: Scale) -> ImageRun:
    """The training of a setting."""
    rates = {name: 1.0 if name != TARGET else setting.named for name in scenes(NAME).captioned}
    run = ImageRun(
        data=SetSpec(name=NAME, n_images=sized.n_images, side=sized.side),
        seed=seed,
        taught_by=CAPTIONS,
        mention=tuple((name, rate) for name, rate in rates.items() if rate),
        redraw=((TARGET, setting.redrawn),) if setting.redrawn else (),
        encoding_size=setting.outputs,
        objective="info_nce",
        temperature=setting.temperature,
        bottleneck=setting.bottleneck,
        readings=READINGS,
    )
    return with_encoder(run, sized)


STUDIES = (
    ImageStudy(
        name="levers",
        description="what omission, redraw, fewer outputs, a bottleneck and the temperature remove, and at what cost",
        sized=SCALES,
        runs_of_seed=levers,
        claimed=levers_claims.claims,
        drawn=levers_claims.figures,
        expects=law_rows,
    ),
)
