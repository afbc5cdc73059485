"""Whether leaving a cue out of captions makes what is learned robust where the cue no longer goes with the label.

In MPI3D-like pictures the background goes with the shape of the object in nine of ten, as it does for whoever trains
and reads; outside it is drawn independently, or never goes with it. Captions keep the background, omit it or redraw it;
beside them stand fewer outputs and a bottleneck, and readers that practitioners know, which leave captions as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vergence.factors import Factor
from vergence.metrics import Logistic, cluster_bootstrap, matthews_corrcoef
from vergence.plots.sweep import scores_over_sweep
from vergence.probes import Labelled
from vergence.probes.robustness import Difference, leakage, paired_difference, robustness
from vergence.random import named
from vergence.scenes import scenes
from vergence.studies.guidance.tied import IN, REVERSED, UNTIED, UNTIED_FIT, Tie, tied_set
from vergence.studies.images.measure import LINEAR, compared
from vergence.studies.images.sets import ImageSet
from vergence.studies.images.spec import CAPTIONS, Budget, ImageRun, SetSpec, always, role
from vergence.studies.images.study import CPU, SMOKE, ImageStudy, Scale, with_encoder
from vergence.studies.images.train import Trained, train_run
from vergence.studies.study import Claim, Drawing, Result, Row, Tell

NAME = "mpi3d-like"
TIE = Tie(label="shape", cue="background", share=0.9)
OUTPUTS, TEMPERATURE, REDRAW, BETA, FEWER = 8, 0.1, 0.9, 10.0, 4
"""Those of `levers`."""
DOMAINS = (IN, UNTIED, REVERSED)
KEEP, OMIT, PERTURB, FEW, BOTTLENECK = "keep", "omit", "perturb", "fewer outputs", "bottleneck"

SCALES = (
    SMOKE,
    replace(CPU, temperature=TEMPERATURE, seeds=5),
    Scale(
        name="paper",
        n_images=100_000,
        side=64,
        budget=Budget(epochs=20, batch_size=256, learning_rate=1e-3),
        image_encoder="resnet18",
        temperature=TEMPERATURE,
        seeds=5,
    ),
)


def runs_of_seed(seed: int, sized: Scale) -> list[ImageRun]:
    """Captions that keep the cue, omit it and redraw it; and the levers that leave captions alone."""
    named_ = scenes(NAME).captioned
    base = ImageRun(
        data=SetSpec(name=NAME, n_images=sized.n_images, side=sized.side),
        seed=seed,
        taught_by=CAPTIONS,
        mention=always(*named_),
        encoding_size=OUTPUTS,
        objective="info_nce",
        temperature=TEMPERATURE,
    )
    base = with_encoder(base, sized)
    return [
        base,
        replace(base, mention=always(*(name for name in named_ if name != TIE.cue))),
        replace(base, redraw=((TIE.cue, REDRAW),)),
        replace(base, encoding_size=FEWER),
        replace(base, bottleneck=BETA),
    ][: 2 if sized.name == "smoke" else None]


def setting(row: "pd.Series[Any]") -> str:
    """What is done about the cue in a run, from the columns of its settings."""
    if row["perturbed"]:
        return PERTURB
    if row["selected"] < len(scenes(NAME).captioned):
        return OMIT
    if row["bottleneck"]:
        return BOTTLENECK
    return KEEP if row["encoding_size"] == OUTPUTS else FEW


def measure_tied(run: ImageRun, trained: Trained, images: ImageSet) -> list[Row]:
    """Read the label in and out of domain, and what is left of every factor where nothing is tied."""
    space = images.space
    label, cue = space[TIE.label], space[TIE.cue]
    z = {part: trained.encode(images, rows) for part, rows in images.parts.items() if part != "train"}
    halves = {
        part: Labelled(z_image, images.labels.iloc[images.parts[part]], images.parts[part])
        for part, (z_image, _) in z.items()
    }
    rows = [
        {**_base(run, factor), "probe": LINEAR, "metric": "matthews", **_scored(run, factor, halves)}
        for factor in space.factors
    ]
    read = robustness(halves["fit"], {domain: halves[domain] for domain in DOMAINS}, label=label, cue=cue)
    for found in read.to_dict("records"):
        for metric in ("accuracy", "worst_group", "equalised_odds"):
            said = f"{metric.replace('_', ' ')}, {found['domain']}"
            rows.append({**_base(run, label), "probe": found["reader"], "metric": said, "value": found[metric]})
    told = leakage(halves["fit"], halves[IN], cue, given=[label])
    rows.append({**_base(run, cue), "probe": LINEAR, "metric": "nats given the label", "value": told.nats_given})
    z_image, z_text = z[IN]
    return rows if z_text is None else [*rows, *compared(z_image, z_text, trained)]


def _base(run: ImageRun, factor: Factor) -> Row:
    return {"side": "image", "factor": factor.name, "role": role(run, factor.name)}


def _scored(run: ImageRun, factor: Factor, halves: Mapping[str, Labelled]) -> Row:
    """What a linear probe reads where nothing is tied."""
    (z_fit, y_fit, _), (z_test, y_test, _) = (halves[part].known(factor) for part in (UNTIED_FIT, UNTIED))
    predicted = Logistic().fit(z_fit, y_fit).predict(z_test)
    generator = named(run.seed, factor.name, "untied")
    low, high = cluster_bootstrap(matthews_corrcoef, y_test, predicted, generator=generator, n_resamples=200)
    return {"value": float(matthews_corrcoef(y_test, predicted)), "low": low, "high": high}


@dataclass(frozen=True, kw_only=True)
class TiedStudy(ImageStudy):
    """Runs on pictures in which a cue goes with a label.

    Args:
        tie: Which, and how often.
    """

    tie: Tie

    family = "guidance"

    def job(self, scale: str) -> Mapping[str, Any]:
        """Study, scale, how it trains, and what is tied."""
        return {**super().job(scale), "tie": asdict(self.tie)}

    def key(self, spec: ImageRun) -> Mapping[str, Any]:
        """The run and what is tied."""
        return {**super().key(spec), "tie": asdict(self.tie)}

    def measure(self, group: Sequence[ImageRun], *, folders: Sequence[Path], tell: Tell) -> list[Result]:
        """Train and read, one after another; nothing is left but numbers."""
        results = []
        for run, folder in zip(group, folders, strict=True):
            images = tied_set(run.data, self.tie)
            trained = train_run(run, images, folder=folder, tell=tell)
            results.append(Result(measure_tied(run, trained, images), {"curve": list(trained.curve)}))
        return results


def by_setting(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of runs that captions taught, with what was done about the cue."""
    rows = table[table["taught_by"] == CAPTIONS]
    return rows.assign(done=[setting(row) for _, row in rows.iterrows()])


def claims(table: pd.DataFrame) -> list[Claim]:
    """What omitting and redrawing buy out of domain and cost within, against what leaves captions alone."""
    return claims_of(by_setting(table), label=TIE.label, cue=TIE.cue, others=_others())


def claims_of(rows: pd.DataFrame, *, label: str, cue: str, others: Sequence[str]) -> list[Claim]:
    """The same of any tie.

    Args:
        rows: Columns done, seed, factor, probe, metric and value.
        label: What is read.
        cue: What goes with it in training.
        others: Factors that captions say beside these.
    """
    accuracy = rows[rows["metric"].str.startswith("accuracy")] if len(rows) else rows
    scores = accuracy.pivot_table(index="seed", columns=["done", "probe", "metric"], values="value")

    def gain(after: tuple[str, str], before: tuple[str, str], domain: str, other: str = "") -> Difference | None:
        """Of accuracies in a domain, the latter in another if one is named."""
        columns = [(*after, f"accuracy, {domain}"), (*before, f"accuracy, {other or domain}")]
        if not set(columns) <= set(scores.columns):
            return None
        pair = scores[columns].dropna().to_numpy()
        return paired_difference(pair[:, 0], pair[:, 1]) if len(pair) else None

    found = []
    for done in (OMIT, PERTURB):
        for domain in (UNTIED, REVERSED):
            difference = gain((done, "plain"), (KEEP, "plain"), domain)
            found.append(_lower(f"{done}: accuracy gained over keeping the cue, {domain}", difference, at_least=0.0))
        cost = gain((done, "plain"), (KEEP, "plain"), IN)
        found.append(
            Claim(
                statement=f"{done}: accuracy gained over keeping the cue, in domain, mean over seeds",
                measured=None if cost is None else cost.mean,
                at_least=-0.1,
            )
        )
        lost = gain((done, "plain"), (done, "plain"), IN, REVERSED)
        found.append(
            Claim(
                statement=f"{done}: accuracy lost from in domain to reversed, mean over seeds (predicted: 0)",
                measured=None if lost is None else lost.mean,
                at_most=0.1,
            )
        )
    for reader in ("reweighted", "group DRO", "erased"):
        for domain in DOMAINS:
            difference = gain((OMIT, "plain"), (KEEP, reader), domain)
            found.append(
                _described(f"omitting, over captions as they are read {reader}: accuracy, {domain}", difference)
            )
    for done in (FEW, BOTTLENECK):
        for domain in DOMAINS:
            found.append(
                _described(
                    f"{done} over keeping the cue: accuracy, {domain}", gain((done, "plain"), (KEEP, "plain"), domain)
                )
            )
    return [*found, *_left(rows, label, cue, others)]


def _left(rows: pd.DataFrame, label: str, cue: str, others: Sequence[str]) -> list[Claim]:
    """What is left of the cue where nothing is tied, above the untrained encoder, and what the others lose."""
    read = rows[(rows["metric"] == "matthews") & (rows["probe"] == LINEAR)] if len(rows) else rows
    found = []
    for done in (OMIT, PERTURB):
        own = read[(read["factor"] == cue) & (read["done"] == done)] if len(read) else read
        found.append(
            Claim(
                statement=f"{done}: score of the cue where nothing is tied, mean over seeds",
                measured=own["value"].mean() if len(own) else None,
                at_most=0.2,
            )
        )
    for done in (KEEP, OMIT, PERTURB, FEW, BOTTLENECK):
        here = read[read["done"] == done] if len(read) else read
        for what, chosen in (("the label", [label]), ("the other factors", others)):
            part = here[here["factor"].isin(chosen)] if len(here) else here
            if len(part):
                found.append(
                    Claim(
                        statement=f"{done}: score of {what} where nothing is tied, mean", measured=part["value"].mean()
                    )
                )
    return found


def _others() -> list[str]:
    return [name for name in scenes(NAME).captioned if name not in (TIE.label, TIE.cue)]


def _lower(statement: str, difference: Difference | None, *, at_least: float) -> Claim:
    """The lower end of an interval over seeds; of one seed, nothing."""
    measured = None if difference is None or not np.isfinite(difference.low) else difference.low
    where = "" if difference is None else str(difference)
    return Claim(statement=f"{statement}, lower end over seeds", measured=measured, at_least=at_least, where=where)


def _described(statement: str, difference: Difference | None) -> Claim:
    return Claim(
        statement=f"{statement}, mean over seeds",
        measured=None if difference is None else difference.mean,
        where="" if difference is None else str(difference),
    )


def figures(table: pd.DataFrame) -> dict[str, Drawing]:
    """Accuracy in every domain, by what is done about the cue and how the label is read."""
    caption = (
        "How often the shape is told where the background goes with it as in training, is independent of it, or never "
        "goes with it. Points are means over seeds, bars the range of the seeds."
    )
    return figures_of(by_setting(table), caption)


def figures_of(rows: pd.DataFrame, caption: str) -> dict[str, Drawing]:
    """The same of any tie: columns done, seed, probe, metric, value and those of predictions."""
    rows = rows[rows["metric"].str.startswith("accuracy")] if len(rows) else rows
    if rows.empty:
        return {}
    drawn = rows.assign(kind=rows["probe"], domain=rows["metric"].str.removeprefix("accuracy, "))
    order = [done for done in (KEEP, OMIT, PERTURB, FEW, BOTTLENECK) if (drawn["done"] == done).any()]
    drawn = drawn.sort_values("done", key=lambda column: column.map(order.index), kind="stable")
    drawn["done"] = drawn["done"].replace({BOTTLENECK: f"β = {BETA:g}"})  # as narrow as its place
    wide, narrow = (
        scores_over_sweep(
            drawn,
            over="done",
            label="what is done about the cue",
            panels="domain",
            titles={domain: domain for domain in DOMAINS},
            score="accuracy",
            spacing="names",
            layout=layout,
        )
        for layout in ("wide", "narrow")
    )
    return {"domains": Drawing(caption, wide, narrow)}


STUDIES = (
    TiedStudy(
        name="guidance-robustness",
        description="what omitting or redrawing a cue in captions buys where it no longer goes with the label",
        sized=SCALES,
        runs_of_seed=runs_of_seed,
        claimed=claims,
        drawn=figures,
        tie=TIE,
    ),
)
