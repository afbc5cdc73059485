"""`vergence probe`: what embeddings hold about named factors, on clusters that the probe has not seen."""

from jsonargparse import ArgumentParser, Namespace

DESCRIPTION = "Fit a linear probe for each labelled factor of an embedding file; score it on unseen clusters."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "embeddings",
        metavar="EMBEDDINGS",
        help=".npy, .safetensors, .parquet or a folder img_emb, with keys if known",
    )
    parser.add_argument("labels", metavar="LABELS", help="Parquet, .csv or .tsv: a key or id, a column for each factor")
    parser.add_argument("--factors", metavar="NAMES", help="columns to probe, with commas between (default: all)")
    parser.add_argument("--cluster-column", metavar="NAME", help="column, equal for items that belong together")
    parser.add_argument(
        "--pair-by", metavar="HOW", help="identifier or position (default: identifier, if there is one)"
    )
    parser.add_argument("--split", metavar="RUN", help="folder of a training run: use only items that it held out")
    parser.add_argument("--test-fraction", type=float, default=0.3, metavar="SHARE", help="of clusters (default: 0.3)")
    parser.add_argument("--out", metavar="FILE", help="JSON file for the table (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and the intervals (default: 0)")


def run(options: Namespace) -> None:
    """Read, split by cluster, probe, print; write the JSON on demand."""
    from pathlib import Path

    import numpy as np
    import torch

    from vergence.data.clusters import link
    from vergence.errors import ConfigError
    from vergence.files import write_json
    from vergence.metrics.files import read_embeddings
    from vergence.probes import Labelled, probe
    from vergence.probes.labels import keep_scored, read_labels, take_held_out
    from vergence.random import named
    from vergence.splits import hold_out
    from vergence.terminal import grid, say, show

    if not 0 < options.test_fraction < 1:
        raise ConfigError(f"--test-fraction must be a share above 0 and below 1; got {options.test_fraction!r}")
    factors = None if options.factors is None else options.factors.split(",")
    embeddings, of_run, notes = read_embeddings(Path(options.embeddings)), None, []
    if options.split is not None:
        embeddings, of_run, note = take_held_out(embeddings, Path(options.split))
        notes.append(note)
    labels = read_labels(
        Path(options.labels), embeddings, factors=factors, cluster=options.cluster_column, pair_by=options.pair_by
    )
    of_image = None if embeddings.images is None else link(embeddings.images)  # texts of one image are not independent
    each_its_own = np.arange(len(labels.values))
    clusters = next(one for one in (labels.clusters, of_run, of_image, each_its_own) if one is not None)
    halves = hold_out(clusters.tolist(), options.test_fraction, generator=named(options.seed, "split"))
    labels = keep_scored(labels, *halves, named=factors is not None)
    notes += [*labels.notes, *(f"not probed: column {name!r} {reason}" for name, reason in labels.left_out.items())]
    say(*notes, err=True)
    z = torch.from_numpy(embeddings.values.astype(np.float64))
    fit, test = (Labelled(z[rows], labels.values.iloc[rows], clusters[rows]) for rows in halves)
    found = probe(fit, test, labels.space, generator=named(options.seed, "intervals"))
    rows = [
        (row.factor, row.metric, f"{row.score:.2f}", f"[{row.low:.2f}, {row.high:.2f}]", row.n_fit, row.n_test)
        for row in found.itertuples()
    ]
    headings = ("factor", "metric", "score", "95 % interval", "items fitted", "items tested")
    title = f"{z.shape[1]} dimensions, linear probes on unseen clusters; rows paired by {labels.paired_by}"
    show(grid(headings, rows, title=title, left=("factor", "metric")))
    if options.out is None:
        return
    settings = ("embeddings", "labels", "cluster_column", "split", "test_fraction", "seed")
    content = {name: options[name] for name in settings} | {"paired_by": labels.paired_by, "items": len(z)}
    table = found.astype(object).where(~found.isin([np.inf, -np.inf]), None)  # an interval without a bound
    write_json(options.out, {**content, "notes": notes, "factors": table.to_dict("records")})
    say(f"Written: {options.out}")
