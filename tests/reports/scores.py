"""Scores of a demo between floor and ceiling, for tests of what is said about them."""

import pandas as pd

FLOOR = {"skin_tone": 0.29, "gender": 0.09, "group": 0.38, "subgroup": 0.22}
CEILING = {"skin_tone": 0.84, "gender": 0.74, "group": 0.67, "subgroup": 0.37}
TONES = {"labels": 0.76, "faithful": 0.80, "omit": 0.17, "perturb": 0.15}
SAYS = {
    name: {"skin_tone": does, "gender": "named", "group": rest, "subgroup": rest}
    for name, does, rest in (
        ("labels", "named", "omitted"),
        ("faithful", "named", "named"),
        ("omit", "omitted", "named"),
        ("perturb", "perturbed", "named"),
    )
}


def scores(*captions: str, seeds: int = 1) -> pd.DataFrame:
    """Rows of these captions at 16 outputs, all four if none is named; with each seed scores fall by 0.02."""
    rows = []
    for name in captions or tuple(TONES):
        for seed in range(seeds):
            for factor, ceiling in CEILING.items():
                value = (TONES[name] if factor == "skin_tone" else ceiling - 0.02) - 0.02 * seed
                rows.append(
                    {
                        "captions": name, "encoding_size": 16, "seed": seed, "epochs": 12, "side": "image",
                        "factor": factor, "metric": "matthews_corrcoef",
                        "value": value, "low": value - 0.06, "high": value + 0.06,
                        "floor": FLOOR[factor], "ceiling": ceiling, "reason": "captions name it",
                        "outcome": "as predicted",
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)
