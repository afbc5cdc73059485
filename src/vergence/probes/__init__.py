"""What representations hold: encode views, fit a probe on some concepts, score it on others."""

from vergence.probes.encode import Representations, encode
from vergence.probes.protocol import Labelled, probe
from vergence.probes.theory import SIZE_DEPENDENT, oracle_scores, predict

__all__ = ["SIZE_DEPENDENT", "Labelled", "Representations", "encode", "oracle_scores", "predict", "probe"]
