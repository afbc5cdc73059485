"""`vergence train`: fit a dual encoder to the pairs that a configuration names."""

import argparse
import os
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace  # type: ignore[attr-defined]

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

    parser.add_argument("config", metavar="CONFIG.yaml", action=_File, nargs="?", help="settings; options override it")
    parser.add_class_arguments(RunConfig)


def run(options: Namespace) -> None:
    """Train, and print where the encoder is."""
    from vergence.folders import when_present
    from vergence.terminal import say
    from vergence.training import RunConfig, run_training
    from vergence.training.spec import from_mapping

    settings = {key: value for key, value in options.as_dict().items() if key in RunConfig.__dataclass_fields__}
    config = from_mapping(RunConfig, settings)
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
    last = result.history.iloc[-1]
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name not in ("epoch", "rate"))
    say(f"Epoch {int(last['epoch'])}: {numbers}", f"Encoder: {(out / 'encoder').resolve()}")


class _File(argparse.Action):
    """Take settings from a YAML file, whose keys are all checked before any value is."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        import yaml

        from vergence.training import RunConfig
        from vergence.training.spec import check_keys

        if values is None:
            return
        given = {key for key in RunConfig.__dataclass_fields__ if namespace.get(key) != parser.get_defaults().get(key)}
        if given:
            parser.error(f"put {values} before the options that override it: {', '.join(sorted(given))}")
        try:
            content = yaml.safe_load(Path(values).read_text(encoding="utf-8"))
            check_keys(RunConfig, content if content is not None else {})
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            parser.error(f"cannot read {values}: {error}")
        except ConfigError as error:
            parser.error(f"{values}: {error}")
        if content:
            ActionConfigFile.apply_config(parser, namespace, self.dest, values)
