"""Where rays come from: a camera that looks at a place from a distance, an azimuth and an elevation."""

import numpy as np
from jaxtyping import Float


def cameras(
    azimuth: Float[np.ndarray, " n"],
    elevation: Float[np.ndarray, " n"],
    *,
    target: tuple[float, float, float],
    distance: float,
    half_width: float,
) -> Float[np.ndarray, "n 12"]:
    """Place cameras around a target, with z upright; at azimuth 0 they stand at -y and look along y.

    Args:
        azimuth: Around the vertical, in radians, counted against the clock seen from above.
        elevation: Above the horizontal, in radians, inside (-π/2, π/2).
        target: What they look at.
        distance: From it.
        half_width: Half the width of what is seen at the target's distance.

    Returns:
        The eye, and right, up and forward, the first two as long as half the image at distance 1.
    """
    zero, reach = np.zeros_like(azimuth), half_width / distance
    right = np.stack([np.cos(azimuth), np.sin(azimuth), zero], 1)
    forward = np.stack(
        [-np.sin(azimuth) * np.cos(elevation), np.cos(azimuth) * np.cos(elevation), -np.sin(elevation)], 1
    )
    up = np.cross(right, forward)
    return np.concatenate([np.array(target) - distance * forward, reach * right, reach * up, forward], 1)
