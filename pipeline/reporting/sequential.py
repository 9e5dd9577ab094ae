"""E-values: evidence of a difference that may be looked at after every seed.

A p-value is valid only if the number of seeds was fixed beforehand. An e-value is valid whenever
one looks: without a difference it ever reaches 20 with a probability of at most 5 %.
"""

import numpy as np

DECIDED = 20.0  # 1 / 0.05
RATES = np.array([0.5, 1.0, 2.0, 4.0])  # small ones find small differences, large ones large ones


def e_values(differences: np.ndarray) -> np.ndarray:
    """Return the e-value after each of (n,) paired differences; 1 on average without a difference.

    If each difference is as likely as its negative, the product of exp(r d) / cosh(r d) is a
    martingale that starts at 1, for any rate r, also if d is divided by a scale that depends only
    on the differences' magnitudes (de la Peña, "A general class of exponential inequalities for
    martingales and ratios", 1999). So is the mean over rates, and it exceeds 20 with a probability
    of at most 1/20 (Ville's inequality; see Ramdas et al., "Game-theoretic statistics and safe
    anytime-valid inference", 2023).

    >>> e_values(np.full(7, 0.02)).round(1).tolist()
    [1.0, 1.7, 3.0, 5.6, 10.6, 20.1, 38.4]
    """
    count = np.arange(1, len(differences) + 1)
    scale = np.sqrt(np.cumsum(differences**2) / count)  # the root mean square so far
    steps = np.outer([*RATES, *-RATES], differences / np.where(scale > 0, scale, 1))
    return np.exp(np.cumsum(steps - np.log(np.cosh(steps)), axis=1)).mean(axis=0)
