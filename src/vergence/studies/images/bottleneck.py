"""The controlled experiments of [almudevar2025]: what a contrastive loss leaves of nuisances, what a bottleneck does.

Texts are codes of some factors, the essence; the other factors are the image's nuisances. The loss is one-way InfoNCE
of cosines, its temperature learned from .07 or fixed, plus β times the mean squared distance of paired unit vectors.
All is decided before anything is trained. Differs from the paper at every scale: a schedule with warm-up and a cosine
instead of steps, two thirds of the images to train on, half of the rest to fit probes on.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations
from types import MappingProxyType

import torch

from vergence.random import named
from vergence.scenes import scenes
from vergence.studies.images import bottleneck_claims, bottleneck_figures
from vergence.studies.images.law import law_rows
from vergence.studies.images.spec import CODES, Budget, ImageRun, SetSpec, always
from vergence.studies.images.study import CPU, SMOKE, ImageStudy, Scale, with_encoder

SHAPES3D, MPI3D = "shapes3d-like", "mpi3d-real-like"
FIRST_TEMPERATURE = 0.07
"""Where a learned temperature starts, as published."""
FIXED_TEMPERATURE = 0.1
"""Of `bottleneck-beta`, where it is not learned."""
OUTPUTS = 32
READINGS = ("image/linear", "image/share")
TEMPERATURES = (0.03, 0.1, 0.3, 1.0)
BETAS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
SWEPT = "camera"
"""The factor of MPI3D that is left out where temperature, depth and architecture change: much of it is in pixels."""
ESSENCES = MappingProxyType(
    {
        SHAPES3D: ("scale", "shape", "orientation"),
        MPI3D: tuple(name for name in scenes(MPI3D).captioned if name != SWEPT),
    }
)
"""Of `bottleneck-beta`. Nuisances are the three hues, which pixels show best; of MPI3D the camera and both axes."""
COARSE = MappingProxyType(
    {
        SHAPES3D: (("floor_hue", 4), ("wall_hue", 4), ("object_hue", 4)),
        MPI3D: (("horizontal", 8), ("vertical", 8)),
    }
)
"""At 32 pixels. Three hues of ten values tell 128 pairs of a batch apart by themselves, and a training of 40,000 images
learns nothing else; forty places of the arm are more than 2,048 images can teach a probe."""
N_SPLITS = 31
"""Of each set: all that MPI3D's five captioned factors have, and as many of Shapes3D, drawn."""
DEPTHS = MappingProxyType({"grid": ("grid2", "grid4", "grid5"), "resnet20": ("resnet32", "resnet56")})
ARCHITECTURES = ("grid", "resnet20", "vit", "mlp")

SCALES = (
    SMOKE,
    CPU,
    Scale(
        name="paper",
        n_images=10_000,
        side=64,
        budget=Budget(epochs=50, learning_rate=1e-3),
        image_encoder="resnet20",
    ),
)
"""Published: 50 epochs, batches of 128, Adam at 1e-3, ResNet-20 at 64 pixels."""


def data_of(name: str, sized: Scale) -> SetSpec:
    """The images of a set; below the published size with fewer values of some factors."""
    return SetSpec(name=name, n_images=sized.n_images, side=sized.side, coarse=() if sized.side >= 64 else COARSE[name])


def run_of(name: str, essence: tuple[str, ...], seed: int, sized: Scale) -> ImageRun:
    """One-way InfoNCE between images and the codes of the essence, its temperature learned."""
    run = ImageRun(
        data=data_of(name, sized),
        seed=seed,
        taught_by=CODES,
        mention=always(*essence),
        encoding_size=OUTPUTS,
        objective="one_way",
        temperature=FIRST_TEMPERATURE,
        learned=True,
        readings=READINGS,
    )
    return with_encoder(run, sized)


def nuisance(seed: int, sized: Scale) -> list[ImageRun]:
    """One factor is left out of the codes: each in turn, and one under other temperatures, depths and architectures."""
    each = [
        run_of(name, _without(name, factor), seed, sized)
        for name in (SHAPES3D, MPI3D)
        for factor in scenes(name).captioned[:: sized.stride]
    ]
    swept = run_of(MPI3D, _without(MPI3D, SWEPT), seed, sized)
    fixed = [replace(swept, temperature=tau, learned=False) for tau in TEMPERATURES[:: sized.stride]]
    depths = [replace(swept, image_encoder=depth) for depth in DEPTHS[sized.image_encoder][:: sized.stride]]
    return list(dict.fromkeys([*each, swept, *fixed, *depths, *_architectures(swept, seed, sized)]))


def _architectures(swept: ImageRun, seed: int, sized: Scale) -> list[ImageRun]:
    """All with the same budget: short where an epoch of a residual network takes a minute, and then with one seed."""
    if sized.image_encoder != ARCHITECTURES[0]:
        return [replace(swept, image_encoder=name) for name in ARCHITECTURES]
    short = replace(sized.budget, epochs=1)
    names = ("mlp",) if sized.stride > 1 else ARCHITECTURES if seed == 0 else ()
    return [replace(swept, image_encoder=name, budget=short) for name in names]


def _without(name: str, factor: str) -> tuple[str, ...]:
    return tuple(one for one in scenes(name).captioned if one != factor)


def alignment(seed: int, sized: Scale) -> list[ImageRun]:
    """Random splits into essence and nuisances, one training each."""
    names = (SHAPES3D, MPI3D) if sized.stride == 1 else (MPI3D,)
    return [
        run_of(name, essence, seed, sized)
        for name in names
        for essence in splits(name, N_SPLITS)[:: 2 * sized.stride - 1]
    ]


def splits(name: str, n: int) -> list[tuple[str, ...]]:
    """Essences drawn without replacement, each with a nuisance left: of the arm's pictures the axes always are.

    Args:
        name: An image set.
        n: How many; at most as many as there are.
    """
    captioned = scenes(name).captioned
    most = len(captioned) - (len(captioned) == len(scenes(name).space.names))
    all_of_them = [essence for size in range(1, most + 1) for essence in combinations(captioned, size)]
    order = torch.randperm(len(all_of_them), generator=named(0, name, "splits")).tolist()
    return [all_of_them[place] for place in order[:n]]


def beta(seed: int, sized: Scale) -> list[ImageRun]:
    """One split of each set; the bottleneck grows, with a temperature that is learned and one that is not."""
    names = ESSENCES if sized.stride == 1 else (MPI3D,)
    learned = [run_of(name, ESSENCES[name], seed, sized) for name in names]
    fixed = [replace(run, temperature=FIXED_TEMPERATURE, learned=False) for run in learned]
    return [replace(run, bottleneck=value) for run in (*learned, *fixed) for value in BETAS[:: sized.stride]]


def _scales(seeds: int) -> tuple[Scale, ...]:
    return tuple(replace(sized, seeds=min(seeds, sized.seeds)) for sized in SCALES)


_Runs = Callable[[int, Scale], list[ImageRun]]
_study = partial(ImageStudy, expects=law_rows)

STUDIES = (
    _study(
        name="bottleneck-nuisance",
        description="what a contrastive loss alone leaves of the one factor that texts leave out",
        sized=_scales(1),
        runs_of_seed=nuisance,
        claimed=bottleneck_claims.of_nuisance,
        drawn=bottleneck_figures.of_nuisance,
    ),
    _study(
        name="bottleneck-alignment",
        description="whether images and texts align the worse, the more images hold of what texts leave out",
        sized=_scales(1),
        runs_of_seed=alignment,
        claimed=bottleneck_claims.of_alignment,
        drawn=bottleneck_figures.of_alignment,
    ),
    _study(
        name="bottleneck-beta",
        description="what a bottleneck does to nuisances, essence, alignment and a temperature that is learned",
        sized=_scales(3),
        runs_of_seed=beta,
        claimed=bottleneck_claims.of_beta,
        drawn=bottleneck_figures.of_beta,
    ),
)
