"""Real photographs for the tests."""

import numpy as np
import skimage.data
from PIL import Image


def photograph(height: int, width: int, name: str = "astronaut") -> np.ndarray:
    """(height, width, 3) uint8 RGB: one of scikit-image's sample photographs, scaled."""
    return np.array(Image.fromarray(getattr(skimage.data, name)()).resize((width, height), Image.Resampling.BOX))
