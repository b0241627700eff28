"""Print the coefficients of tvm_book/backend/kernels/_functions.py, and how well they fit.

Each fit has the least maximum of the relative error: least squares again and again, with the
weights of the points that fit worst increased (Lawson's iteration). A quotient of polynomials is
fitted as the linear problem P - y Q = 0, divided by the Q of the round before.

References
----------
C. L. Lawson, "Contributions to the theory of linear least maximum approximation", 1961.
C. K. Sanathanan and J. Koerner, "Transfer function synthesis as a ratio of two complex
polynomials", 1963.
"""

from __future__ import annotations

import math

import numpy as np

ROUNDS = 200
SQRT_HALF = math.sqrt(0.5)


def points(low: float, high: float, count: int = 3000) -> np.ndarray:
    """Return Chebyshev's points of an interval, zero left out."""
    angle = np.pi * (np.arange(count) + 0.5) / count
    x = (low + high) / 2 + (high - low) / 2 * np.cos(angle)
    return x[np.abs(x) > 1e-4]


def fit(basis, known, wanted, degree, below=0):
    """Fit ``wanted = known + basis(k) * c[k]``, over ``1 + wanted * basis(k) * d[k]`` if `below`.

    Parameters
    ----------
    basis : callable
        ``basis(k)`` at all points.
    known, wanted : np.ndarray
    degree, below : int
        Of the polynomials above and below the line.

    Returns
    -------
    tuple
        The largest relative error, the coefficients above, those below without the leading 1.
    """
    above = np.stack([basis(k) for k in range(degree + 1)], axis=1)
    power = np.stack([basis(k) / basis(0) for k in range(1, below + 1)], axis=1) if below else None
    matrix = np.hstack([above, -wanted[:, None] * power]) if below else above
    weight, under, best = np.ones(len(wanted)), np.ones(len(wanted)), None
    for _ in range(ROUNDS):
        scale = np.sqrt(weight) / (under * np.abs(wanted))
        norm = np.linalg.norm(matrix * scale[:, None], axis=0)
        solved = np.linalg.lstsq(matrix * scale[:, None] / norm, (wanted - known) * scale)[0] / norm
        up, down = solved[: degree + 1], solved[degree + 1 :]
        if below:
            under = 1 + power @ down
        error = np.abs((known + above @ up) / under / wanted - 1)
        if best is None or error.max() < best[0]:
            best = float(error.max()), up, down
        weight = np.maximum(weight * np.sqrt(error / error.max()), 1e-20)
        weight /= weight.mean()
    return best


def mills(a: float) -> float:
    """Return ``Phi(-a) exp(a*a/2)``, Phi the normal distribution: Laplace's continued fraction."""
    if a < 5:
        return 0.5 * math.erfc(a * SQRT_HALF) * math.exp(a * a / 2)
    tail = 0.0
    for k in range(200, 0, -1):
        tail = k / (a + tail)
    return 1 / (a + tail) / math.sqrt(2 * math.pi)


def main() -> None:
    """Print all fits."""
    r = points(-math.log(2) / 2 - 1e-3, math.log(2) / 2 + 1e-3)
    m = points(SQRT_HALF - 1 - 1e-3, 2 * SQRT_HALF - 1 + 1e-3)
    x, a = points(0, 3.92), points(0, 14)
    fits = {
        "exp(r) - 1 = r + r^2 P(r)": fit(lambda k: r ** (k + 2), r, np.expm1(r), 4),
        "log(1+m) = m - m^2/2 + m^3 P(m)": fit(
            lambda k: m ** (k + 3), m - m * m / 2, np.log1p(m), 7
        ),
        "erf(x) = x P(x^2) / Q(x^2)": fit(
            lambda k: x ** (2 * k + 1), 0 * x, np.vectorize(math.erf)(x), 5, 5
        ),
        "Phi(-a) exp(a^2/2) = P(a) / Q(a)": fit(
            lambda k: a**k, 0 * a, np.vectorize(mills)(a), 4, 5
        ),
    }
    for name, (error, above, below) in fits.items():
        print(f"{name}: relative error {error:.1e}")
        for letter, values in (("P", above), ("Q", [1, *below] if len(below) else [])):
            if len(values):
                print(f"  {letter}", ", ".join(str(np.float32(v)) for v in values))


if __name__ == "__main__":
    main()
