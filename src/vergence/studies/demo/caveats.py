"""What the demo's page says in words: what captions do with a factor, and what the numbers do not say."""

from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment
from vergence.studies.demo.spec import MAIN_SIZE

_PREDICTION = (
    "Prediction. Cai et al. (NeurIPS 2025, Theorem 4.1): a contrastive model whose output size equals the unbiased "
    "block, the factors that captions name and get right, captures exactly that block. Above that size the theorem is "
    "silent; expected is then that outputs go to what captions teach first. Bounds are stated on the scale from floor "
    "to ceiling; a score agrees if its interval comes within 0.05 of them, which is left to trainings that end."
)
_INTERVAL = (
    "Interval. Test concepts are drawn anew, each with all its forms, for one training: it says how the fitted probe "
    "would fare on other concepts, not how another training would end. A range over seeds says that; each seed also "
    "splits the concepts anew."
)
_CEILING = (
    "Ceiling. A linear head for each factor is trained with the encoder, by cross-entropy, with the same optimiser, "
    "epochs and augmentation; then it is thrown away and the same probe is fitted. Captions can end above it: it is "
    f"one training, not a bound. Where a size has no ceiling of its own, that of {MAIN_SIZE} outputs stands."
)
_SCORE = (
    "Score. 0 is chance and 1 is perfect. A linear probe finds only what lies open in the embedding; a stronger one "
    "may find more."
)

CAVEATS = (_PREDICTION, _INTERVAL, _CEILING, _SCORE)
"""Method and its limits, a paragraph each."""


def said_of(misalignment: Misalignment, space: FactorSpace) -> dict[str, str]:
    """What captions do with each factor: a key of `reports.finding.DOES`.

    Example:
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("tone"), Factor("group"), Factor("gender")))
        >>> said_of(Misalignment.of_rates({"group": 1.0, "gender": 0.1}), space)
        {'tone': 'omitted', 'group': 'named', 'gender': 'rarely'}
    """
    return {name: _does(misalignment, name) for name in space}


def _does(misalignment: Misalignment, name: str) -> str:
    if name not in misalignment.selected:
        return "omitted"
    if name in misalignment.perturbed:
        return "perturbed"
    return "rarely" if name in misalignment.graded else "named"
