"""`vergence study`: the studies by name, and running one."""

from jsonargparse import ArgumentParser, Namespace

DESCRIPTION = "List the studies, or run one: predictions beside measurements."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("action", choices=["list", "run"], help="list the studies, or run one")
    parser.add_argument("name", nargs="?", help="which study to run")
    parser.add_argument("--scale", default="cpu", help="smoke (a minute, shows that it works), cpu; some: paper")
    parser.add_argument("--seeds", type=int, help="trials of each setting (default: those of the scale)")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder for table.parquet, verdict.json, page.html, figures and runs; runs that studies in folders beside "
        "it have done already are taken over (default: build/NAME)",
    )
    parser.add_argument(
        "--images",
        metavar="FILE",
        help="image studies: take images from this official file or folder instead of making like ones; captioning "
        "studies at scale paper: COCO's folder, with annotations and images",
    )
    parser.add_argument(
        "--encoder",
        metavar="DIR",
        help="captioning studies: the frozen image encoder, a folder that `vergence model conse` built or a model of "
        "transformers or open_clip; what it makes of the images is kept in features beside the folder of --out",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, each with one thread")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a claim fails")
    parser.add_argument("--resume", action="store_true", help="continue the same job in DIR if it was stopped")
    parser.add_argument("--overwrite", action="store_true", help="replace the job in DIR")


def run(options: Namespace) -> int:
    """List the studies, or run one and print its verdict; 1 if a claim fails and that was to be checked."""
    from pathlib import Path

    import pandas as pd

    from vergence.errors import ConfigError
    from vergence.folders import when_present
    from vergence.studies.captioning.study import CaptioningStudy
    from vergence.studies.images.study import ImageStudy
    from vergence.studies.pool import trials
    from vergence.studies.progress import StudyProgress
    from vergence.studies.registry import STUDIES, study
    from vergence.studies.run import run_study
    from vergence.studies.study import FAILS, HOLDS
    from vergence.terminal import say, show

    if options.action == "list":
        for name, entry in STUDIES.items():
            say(f"{name:28}{entry.description}")
        return 0
    chosen = study(options.name)
    out = Path(options.out or f"build/{options.name}")
    if isinstance(chosen, CaptioningStudy):
        coco = Path(options.images) if options.images is not None else None
        encoder = Path(options.encoder) if options.encoder is not None else None
        chosen = chosen.on(encoder=encoder, coco=coco, cache=out.parent / "features")
    elif options.encoder is not None:
        raise ConfigError(
            f"{chosen.name} reads no images through a frozen encoder; --encoder is for captioning studies"
        )
    elif options.images is not None:
        if not isinstance(chosen, ImageStudy):
            raise ConfigError(f"{chosen.name} has no images to replace; --images is for the image studies")
        chosen = chosen.on(Path(options.images))
    if options.seeds is not None:
        trials(options.seeds, 1)
    present = when_present(resume=options.resume, overwrite=options.overwrite)
    seeds = f" --seeds {options.seeds}" if options.seeds is not None else ""
    images = f" --images {Path(options.images).name}" if options.images is not None else ""
    reader = f" --encoder {Path(options.encoder).name}" if options.encoder is not None else ""
    command = f"vergence study run {options.name} --scale {options.scale}{seeds}{images}{reader} --out DIR"
    with StudyProgress(options.name) as progress:
        verdict = run_study(
            chosen,
            scale=options.scale,
            out=out,
            present=present,
            command=command,
            progress=progress,
            seeds=options.seeds,
            workers=options.workers,
        )
    show(chosen.show(verdict, pd.read_parquet(out / "table.parquet")), soft_wrap=True)
    counts = verdict["counts"]
    failed = f"; {counts[FAILS]} fail{'s' if counts[FAILS] == 1 else ''}" if counts[FAILS] else ""
    say(f"{counts[HOLDS]} of {counts[HOLDS] + counts[FAILS]} claims hold{failed}")
    say(f"Page: {(out / 'page.html').resolve()}")
    return int(options.check and counts[FAILS] > 0)
