"""How many test images a wanted interval takes."""

from __future__ import annotations

import math

from robnb.errors import UserError

#: Half of a normal 95 % interval, in standard errors.
Z95 = 1.959963984540054


def images_for(half_width: float, standard_error_now: float, images_now: int) -> int:
    """The number of test images whose 95 % interval would be about ``half_width`` to either side.

    The rule is that a standard error falls with 1 / sqrt(images). It holds exactly for means over images (top-1) and
    for large test sets for the rest. It is an extrapolation: from few images the standard error is itself uncertain
    (by about a tenth at 50, for a mean), and AP and mIoU of rare classes settle more slowly. More images shrink neither
    what the corruption's draw nor what the training seed adds.

    Args:
        half_width: wanted, in the unit of the standard error, above 0.
        standard_error_now: over test images, above 0: column ``images`` of `Results.variance`, or a quarter of
            an interval's width.
        images_now: how many images it was measured on, at least 2.

    Raises:
        UserError: an argument out of its range; a standard error of 0 says nothing about more images.
    """
    if not (math.isfinite(half_width) and half_width > 0):
        raise UserError(f"half_width must be above 0, got {half_width!r}: give what you want to resolve, such as 0.5.")
    if images_now < 2:
        raise UserError(f"a standard error is not known from {images_now} images: evaluate at least 2 first.")
    if not (math.isfinite(standard_error_now) and standard_error_now > 0):
        raise UserError(
            f"a standard error of {standard_error_now!r} does not say how it falls: evaluate more images first."
        )
    return math.ceil(images_now * (Z95 * standard_error_now / half_width) ** 2)
