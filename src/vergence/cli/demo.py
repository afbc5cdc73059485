"""`vergence demo`: the main job on the embedded set."""

from jsonargparse import ArgumentParser, Namespace

from vergence.errors import ConfigError

DESCRIPTION = "Train on four kinds of captions; show what each taught, between floor and ceiling."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", metavar="DIR", help="folder for page.html, table.parquet, verdict.json, weights")
    parser.add_argument(
        "--policies", metavar="NAMES", help="caption policies to compare, with commas between (default: all)"
    )
    parser.add_argument(
        "--data", metavar="FILE", help="another file of the embedded set's form (default: the embedded set)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    parser.add_argument(
        "--seeds", type=int, help="trainings of each, from that seed on; scores become ranges (default: 1)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a subset and two epochs: shows that it works, not what is learned"
    )
    parser.add_argument("--resume", action="store_true", help="continue the same job in DIR if it was stopped")
    parser.add_argument("--overwrite", action="store_true", help="replace the job in DIR")


def run(options: Namespace) -> None:
    """Run the main job, print its table and where the page is."""
    if options.out is None:
        raise ConfigError(
            "--out is missing; pass --out DIR, the folder for page.html, table.parquet, verdict.json and weights"
        )
    from pathlib import Path

    import pandas as pd

    from vergence.data import POLICIES
    from vergence.folders import when_present
    from vergence.random import generator
    from vergence.studies.demo.study import DemoStudy
    from vergence.studies.progress import StudyProgress
    from vergence.studies.run import run_study
    from vergence.terminal import say, show

    present = when_present(resume=options.resume, overwrite=options.overwrite)
    generator(options.seed)  # refuses a seed that is none
    study = DemoStudy(
        policies=tuple(options.policies.split(",")) if options.policies else tuple(POLICIES),
        data=Path(options.data) if options.data else None,
        first_seed=options.seed,
    )
    flags = (["--policies", options.policies] if options.policies else []) + (["--quick"] if options.quick else [])
    flags += [f"--seeds {options.seeds}"] if options.seeds is not None else []
    out = Path(options.out)
    with StudyProgress("all runs") as progress:
        verdict = run_study(
            study,
            scale="smoke" if options.quick else "cpu",
            out=out,
            present=present,
            command=" ".join(["vergence demo --out DIR", *flags, f"--seed {options.seed}"]),
            progress=progress,
            seeds=options.seeds,
            workers=4,
        )
    show(study.show(verdict, pd.read_parquet(out / "table.parquet")))
    say(f"Page: {(out / 'page.html').resolve()}")
