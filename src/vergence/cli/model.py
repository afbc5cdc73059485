"""`vergence model`: a model of public packages, for awareness, embed and label."""

from jsonargparse import ArgumentParser, Namespace

from vergence.errors import ConfigError

DESCRIPTION = "Build a zero-shot model of public packages, which no caption has had a part in: a point of comparison."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model", choices=["conse"], help="conse: an ImageNet classifier and a sentence encoder, joined without training"
    )
    parser.add_argument("--out", metavar="DIR", help="folder for the model, 110 MB")
    parser.add_argument(
        "--top", type=int, default=10, metavar="N", help="classes of which an image is made (default: 10)"
    )
    parser.add_argument(
        "--packages", metavar="DIR", help="folder with own copies of the wheels (default: fetched once with pip)"
    )
    parser.add_argument("--resume", action="store_true", help="keep the model in DIR if it is whole")
    parser.add_argument("--overwrite", action="store_true", help="replace the model in DIR")


def run(options: Namespace) -> None:
    """Build the model; say of what, and what can be done next."""
    import shlex
    from pathlib import Path

    from vergence.folders import when_present
    from vergence.terminal import say
    from vergence.training.conse import build_conse

    if not options.out:
        raise ConfigError("--out is missing; pass --out DIR, the folder for the model")
    said = build_conse(
        Path(options.out),
        top=options.top,
        packages=None if options.packages is None else Path(options.packages),
        present=when_present(resume=options.resume, overwrite=options.overwrite),
        about={"command": shlex.join(["vergence", "model", options.model, "--top", str(options.top)])},
    )
    say(
        *(f"{name}: {part['package']} ({part['licence']})" for name, part in said["parts"].items()),
        f"the model: {options.out}; it is not CLIP: no image in it was ever paired with a caption",
        f"use it with: vergence awareness IMAGES --model {shlex.quote(options.out)} --out DIR",
    )
