"""`vergence captioner`: fit a query transformer on a frozen image encoder, which then captions images."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.settings import declare_settings, given_settings
from vergence.errors import ConfigError

DESCRIPTION = "Train a captioner, a query transformer on a frozen image encoder, on images with captions."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", metavar="DIR", help="folder for tokens, metrics, checkpoints and the captioner")
    parser.add_argument("--print-config", action="store_true", help="print all settings as they are resolved, and stop")
    parser.add_argument("--resume", action="store_true", help="continue the same run in DIR if it was stopped")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in DIR")


def add_settings(parser: ArgumentParser) -> None:
    """Declare every setting of a configuration, and the file that holds them; this imports what knows them."""
    from vergence.training.captioner_run import CaptionerRun

    declare_settings(parser, CaptionerRun)


def run(options: Namespace) -> None:
    """Train; say how well it went, and what can be done with the captioner."""
    import shlex

    from vergence.folders import when_present
    from vergence.terminal import say
    from vergence.training.captioner_files import CAPTIONER
    from vergence.training.captioner_run import CaptionerRun, run_captioner
    from vergence.training.mapping import from_mapping

    config = from_mapping(CaptionerRun, given_settings(options, CaptionerRun))
    if options.print_config:
        say(*config.to_yaml().splitlines())
        return
    if options.out is None:
        raise ConfigError("--out is missing; pass --out DIR, the folder for tokens, metrics and checkpoints")
    out = Path(options.out)
    present = when_present(resume=options.resume, overwrite=options.overwrite)
    last = run_captioner(config, out=out, present=present).history.iloc[-1]
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name not in ("epoch", "rate"))
    say(
        f"Epoch {int(last['epoch'])}: {numbers}",
        f"Captioner: {(out / CAPTIONER).resolve()}",
        f"use it with: vergence caption IMAGES --model {shlex.quote(str(out))} --out FILE.jsonl",
    )
