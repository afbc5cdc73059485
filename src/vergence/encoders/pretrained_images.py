"""What a pretrained model's folder says of how images become its pixels; a setting that is not known is refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vergence.encoders.framing import Framing
from vergence.encoders.preprocessing import Preprocessing
from vergence.errors import ConfigError, CorpusError
from vergence.files import read_json

_PILLOW = MappingProxyType({0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"})


def transformers_images(folder: Path) -> tuple[Framing, Preprocessing]:
    """How a model of `transformers` wants its images.

    Raises:
        CorpusError: If a file that says so is missing or damaged.
        ConfigError: If images are prepared in a way that is not known.
    """
    file = folder / "preprocessor_config.json"
    for needed in (folder / "config.json", file):
        if not needed.is_file():
            raise CorpusError(
                f"{needed} is missing: name a folder that save_pretrained of a model and of its processor wrote. "
                "Nothing is downloaded: copy it there first"
            )
    given = read_json(file)
    if isinstance(given, Mapping) and "max_num_patches" in given:
        raise ConfigError(
            f"{folder} is a SigLIP 2 of the NaFlex kind, whose images keep their aspect and become patches, not "
            "squares; use a SigLIP 2 of fixed resolution, such as siglip2-base-patch16-224, which is read as SigLIP is"
        )
    try:
        size, crop = given["size"], given.get("crop_size")
        if not given.get("do_rescale", True) or abs(given.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-9:
            raise ValueError("pixels must be rescaled by 1/255")
        if not given.get("do_resize", True) or given.get("do_pad"):
            raise ValueError("images must be resized, and not padded")
        kernel = _PILLOW[given.get("resample", 3)]
        if isinstance(size, int):
            size = {"shortest_edge": size} if given.get("do_center_crop") else {"height": size, "width": size}
        if given.get("do_center_crop"):
            side = _one_side(crop if isinstance(crop, Mapping) else {"height": crop, "width": crop})
            framing = (
                Framing(side=side, how="shortest", edge=size["shortest_edge"], interpolation=kernel, odd="down")
                if "shortest_edge" in size
                else Framing(side=_same(side, _one_side(size)), interpolation=kernel)
            )
        else:
            framing = Framing(side=_one_side(size), interpolation=kernel)
        mean, std = (given["image_mean"], given["image_std"]) if given.get("do_normalize", True) else ([0] * 3, [1] * 3)
        return framing, _scaling(framing.side, mean, std)
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise ConfigError(f"{file} prepares images in a way that is not known ({error!r})") from error


def open_clip_images(where: Path, config: Mapping[str, Any]) -> tuple[Framing, Preprocessing]:
    """How a model of open_clip wants its images.

    Args:
        where: The file that says so, for messages.
        config: What it holds.

    Raises:
        CorpusError: If it does not say how pixels are scaled.
        ConfigError: If images are prepared in a way that is not known.
    """
    given = config.get("preprocess_cfg")
    if not isinstance(given, Mapping) or not {"mean", "std"} <= set(given):
        raise CorpusError(
            f"{where} has no preprocess_cfg with mean and std; pixels are never scaled by guess: state it as "
            '{"mean": […], "std": […], "interpolation": "bicubic", "resize_mode": "shortest"}'
        )
    try:
        size = given.get("size") or config["model_cfg"]["vision_cfg"]["image_size"]
        side = size if isinstance(size, int) else _one_side(dict(enumerate(size[-2:])))
        kernel = given.get("interpolation") or "bicubic"
        framing = Framing(
            side=side,
            how=given.get("resize_mode") or "shortest",
            interpolation="bicubic" if kernel == "random" else kernel,  # a choice for training alone
            fill=given.get("fill_color") or 0,
        )
        return framing, _scaling(side, given["mean"], given["std"])
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise ConfigError(f"{where} prepares images in a way that is not known ({error!r})") from error


def _scaling(side: int, mean: Sequence[float], std: Sequence[float]) -> Preprocessing:
    return Preprocessing.from_json(json.dumps({"side": side, "mean": list(mean), "std": list(std)}))


def _one_side(size: Mapping[Any, int]) -> int:
    sides = set(size.values())
    if len(sides) != 1 or not all(type(one) is int for one in sides):
        raise ValueError(f"images must become squares; got {dict(size)}")
    return sides.pop()


def _same(side: int, other: int) -> int:
    if side != other:
        raise ValueError(f"images are resized to {other} and cut to {side}")
    return side
