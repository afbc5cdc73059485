r"""The theory, once: how strongly captions teach each direction, what outputs hold of it, and what scores follow.

[cai2025] Thm 4.1 speaks of one output size, that of the block $I_\theta \setminus I_\rho$. Elsewhere the *spectrum* of
the channel from image to text orders what a representation keeps: correlations of the best readings of the image with
the best readings of the text, 1 in the block, 0 for what is never mentioned, in between for the rest. Every prediction
says whether its bounds are proved or expected; docs/theory.md derives them.
"""

from vergence.theory.amplitudes import threshold
from vergence.theory.keeping import kept
from vergence.theory.operators import of_table
from vergence.theory.outcomes import Measured, Outcome, Prediction, judge
from vergence.theory.predictions import predict
from vergence.theory.spectra import spectrum

__all__ = ["Measured", "Outcome", "Prediction", "judge", "kept", "of_table", "predict", "spectrum", "threshold"]
