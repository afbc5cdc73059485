"""`vergence study`: the studies by name, and running one."""

from jsonargparse import ArgumentParser, Namespace

from vergence.errors import ConfigError

DESCRIPTION = "List the studies, or run one: predictions beside measurements."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("action", choices=["list", "run"], help="list the studies, or run one")
    parser.add_argument("name", nargs="?", help="which study to run")
    parser.add_argument(
        "--scale", default="cpu", help="smoke (a minute, shows that it works), cpu; numeric studies: paper"
    )
    parser.add_argument("--seeds", type=int, help="trials of each setting (default: those of the scale)")
    parser.add_argument("--out", metavar="DIR", help="folder for table, verdict and figure (default: build/NAME)")
    parser.add_argument("--workers", type=int, default=2, help="processes, each with one thread")
    parser.add_argument(
        "--reuse",
        nargs="+",
        metavar="DIR",
        default=[],
        help="take runs over from these folders of other numerical studies at the same scale",
    )
    parser.add_argument("--resume", action="store_true", help="continue the same job in DIR if it was stopped")
    parser.add_argument("--overwrite", action="store_true", help="replace the job in DIR")


def run(options: Namespace) -> None:
    """List the studies, or run one and print its verdict."""
    from pathlib import Path

    from vergence.folders import when_present
    from vergence.studies.pool import trials
    from vergence.studies.progress import StudyProgress
    from vergence.studies.registry import STUDIES, study
    from vergence.terminal import say, show

    if options.action == "list":
        for name, entry in STUDIES.items():
            say(f"{name:24}{entry.description}")
        return
    chosen = study(options.name)
    if options.reuse and not chosen.reuses:
        raise ConfigError(f"{options.name} shares no runs with another study; leave out --reuse")
    if options.seeds is not None:
        trials(options.seeds, 1)
    present = when_present(resume=options.resume, overwrite=options.overwrite)
    out = Path(options.out or f"build/{options.name}")
    seeds = f" --seeds {options.seeds}" if options.seeds is not None else ""
    with StudyProgress(options.name) as progress:
        verdict = chosen.run(
            scale=options.scale,
            out=out,
            present=present,
            command=f"vergence study run {options.name} --scale {options.scale}{seeds} --out DIR",
            progress=progress,
            seeds=options.seeds,
            workers=options.workers,
            **({"reuse": [Path(path) for path in options.reuse]} if options.reuse else {}),
        )
    show(chosen.show(verdict, out), soft_wrap=True)
    say(f"Table, verdict and figure: {out.resolve()}")
