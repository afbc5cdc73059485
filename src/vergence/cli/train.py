"""`vergence train`: fit a dual encoder to the pairs that a configuration names."""

import os
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.settings import declare_settings, given_settings
from vergence.errors import ConfigError

DESCRIPTION = "Fit an image and a text encoder to pairs and export them. On many processes, start it by torchrun."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", metavar="DIR", help="folder for weights, metrics, checkpoints, the exported encoder")
    parser.add_argument("--print-config", action="store_true", help="print all settings as they are resolved, and stop")
    parser.add_argument("--resume", action="store_true", help="continue the same run in DIR if it was stopped")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in DIR")


def add_settings(parser: ArgumentParser) -> None:
    """Declare every setting of a configuration, and the file that holds them; this imports what knows them."""
    from vergence.training import RunConfig

    declare_settings(parser, RunConfig)


def run(options: Namespace) -> None:
    """Train, and print where the encoder is."""
    from vergence.folders import when_present
    from vergence.terminal import say
    from vergence.training import RunConfig, run_training
    from vergence.training.mapping import from_mapping

    config = from_mapping(RunConfig, given_settings(options, RunConfig))
    if options.print_config:
        say(*config.to_yaml().splitlines())
        return
    if options.out is None:
        raise ConfigError("--out is missing; pass --out DIR, the folder for weights, metrics and checkpoints")
    present = when_present(resume=options.resume, overwrite=options.overwrite)
    out = Path(options.out)
    result = run_training(config, out=out, present=present)
    if int(os.environ.get("RANK", "0")):  # one of the processes that torchrun started says it for all
        return
    last = result.history.iloc[result.epoch - 1]
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name not in ("epoch", "rate"))
    say(f"Epoch {int(last['epoch'])}: {numbers}", f"Encoder: {(out / 'encoder').resolve()}")
