"""`vergence probe`: what embeddings hold about named factors, on clusters that the probe has not seen."""

from jsonargparse import ArgumentParser, Namespace

DESCRIPTION = "Fit a linear probe for each labelled factor of an embedding file; score it on unseen clusters."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "embeddings", metavar="EMBEDDINGS", help=".npy, .safetensors or .parquet, with a key or id if known"
    )
    parser.add_argument("labels", metavar="LABELS", help="Parquet: a column for each factor, empty where not known")
    parser.add_argument("--factors", metavar="NAMES", help="columns to probe, with commas between (default: all)")
    parser.add_argument("--cluster-column", metavar="NAME", help="column, equal for items that belong together")
    parser.add_argument("--test-fraction", type=float, default=0.3, metavar="SHARE", help="of clusters (default: 0.3)")
    parser.add_argument("--out", metavar="FILE", help="JSON file for the table (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and the intervals (default: 0)")


def run(options: Namespace) -> None:
    """Read, split by cluster, probe, print; write the JSON on demand."""
    import json
    from pathlib import Path

    import numpy as np
    import torch
    from rich.console import Console
    from rich.table import Table

    from vergence.checks import probability
    from vergence.data import split_by_concept
    from vergence.errors import ConfigError
    from vergence.metrics.files import read_embeddings
    from vergence.probes import Labelled, probe
    from vergence.probes.labels import read_labels
    from vergence.random import named

    probability("--test-fraction", options.test_fraction)
    embeddings = read_embeddings(Path(options.embeddings))
    factors = options.factors.split(",") if options.factors else None
    labels, space = read_labels(Path(options.labels), embeddings, factors=factors, cluster=options.cluster_column)
    clusters = np.arange(len(labels)) if options.cluster_column is None else labels[options.cluster_column].to_numpy()
    clusters = np.unique(clusters.astype(str), return_inverse=True)[1]
    share = {"fit": 1 - options.test_fraction, "test": options.test_fraction}
    split = split_by_concept(clusters.tolist(), share, generator=named(options.seed, "split"))
    z = torch.from_numpy(embeddings.values.astype(np.float64))
    fit, test = (Labelled(z[rows], labels.iloc[rows], clusters[rows]) for rows in split.values())
    found = probe(fit, test, space, generator=named(options.seed, "intervals"))
    shown = Table(title=f"{z.shape[1]} dimensions, linear probes on unseen clusters")
    for heading in ("factor", "metric", "score", "95 % interval", "items fitted", "items tested"):
        shown.add_column(heading, justify="left" if heading in ("factor", "metric") else "right")
    for row in found.itertuples():
        interval = f"[{row.low:.2f}, {row.high:.2f}]"
        shown.add_row(str(row.factor), str(row.metric), f"{row.score:.2f}", interval, str(row.n_fit), str(row.n_test))
    Console(highlight=False).print(shown)
    if options.out is None:
        return
    content = {"embeddings": options.embeddings, "labels": options.labels, "seed": options.seed}
    try:
        Path(options.out).write_text(json.dumps({**content, "factors": found.to_dict("records")}, indent=2) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write {options.out}: {error.strerror}; choose another file with --out") from error
    print(f"Written: {options.out}")
