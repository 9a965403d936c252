"""One number with its uncertainty, sums of such numbers, and tests of where they lie.

`robnb.statistics.Results` and `robnb.statistics.trainings` make tables of intervals. Here a quantity carries what the
intervals are made of, so that any weighted sum of quantities (a difference, a difference of differences, a slope) has
an interval of its own and can be tested: p-values at any level, where an interval has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from robnb.errors import UserError
from robnb.statistics.resampling import deviation, interval
from robnb.statistics.trainings import half_width, standard_error

#: The share of draws that may be undefined before nothing can be said, as in `robnb.statistics.resampling`.
_UNDEFINED = 0.05


@dataclass(frozen=True, eq=False)
class Measured:
    """A quantity of one or more models, such as a drop or a difference of drops, in percent or percentage points.

    Attributes:
        value: the mean over trainings.
        draws: the same in every resample of the test images, float64 (resamples,).
        trainings: the value of each training alone, by its seed. With one training, intervals and tests are of other
            test images for this very training; with several, of other test images and other trainings.
        images: how many test images; the fewest where several test sets are involved.
    """

    value: float
    draws: np.ndarray
    trainings: Mapping[int, float]
    images: int

    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval; NaN where the value is undefined, or too many of its draws."""
        if len(self.trainings) == 1:
            (low,), (high,) = interval(self.draws[None], np.array([self.value]))
            return float(low), float(high)
        half = float(half_width(*self._parts(), len(self.draws))[0])
        return self.value - half, self.value + half

    def p_not_below(self, bound: float) -> float:
        """The p-value of "it is ``bound`` or more": small where it lies below beyond doubt. NaN where undefined.

        With one training the share of bootstrap draws, their median moved onto the value, that reach the bound, one
        more counted in both numbers so that it is never 0 (Davison & Hinkley 1997, section 4.2.3). With several, of t
        with the error and the degrees of freedom of `robnb.statistics.trainings`.
        """
        if np.isnan(self.value):
            return np.nan
        if len(self.trainings) == 1:
            defined = self.draws[~np.isnan(self.draws)]
            if len(defined) < (1 - _UNDEFINED) * len(self.draws):
                return np.nan
            moved = defined + (self.value - np.median(defined))
            return float((1 + (moved >= bound).sum()) / (1 + len(moved)))
        error, freedom = self._error()
        if error == 0:
            return float(self.value >= bound)
        return float(scipy.stats.t.cdf((self.value - bound) / error, freedom))

    def p_not_above(self, bound: float) -> float:
        """The p-value of "it is ``bound`` or less", as `p_not_below`."""
        return summed([(-1.0, self)]).p_not_below(-bound)

    def _error(self) -> tuple[float, float]:
        error, freedom = standard_error(*self._parts(), len(self.draws))
        return float(error[0]), float(freedom[0])

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The deviation between trainings, how many there are, and the deviation over test images, each (1,)."""
        alone = np.array(list(self.trainings.values()))
        return np.array([alone.std(ddof=1)]), np.array([len(alone)]), deviation(self.draws[None])


def summed(terms: Sequence[tuple[float, Measured]]) -> Measured:
    """The weighted sum of quantities: resample by resample and training by training.

    Quantities of one test set are so compared on the same images, which makes a difference paired; those of different
    test sets were resampled independently.

    Args:
        terms: (weight, quantity), one at least.

    Raises:
        UserError: they have different training seeds or numbers of resamples.
    """
    (_, first), *_ = terms
    for _, other in terms:
        if set(other.trainings) != set(first.trainings):
            raise UserError(
                f"training seeds {sorted(first.trainings)} and {sorted(other.trainings)} are not comparable: "
                "run both notebooks with the same training_seeds."
            )
        if len(other.draws) != len(first.draws):
            raise UserError(f"{len(first.draws)} and {len(other.draws)} resamples do not go together: use one number.")
    return Measured(
        value=float(sum(weight * one.value for weight, one in terms)),
        draws=sum(weight * one.draws for weight, one in terms),
        trainings={seed: sum(weight * one.trainings[seed] for weight, one in terms) for seed in first.trainings},
        images=min(one.images for _, one in terms),
    )
