"""Folds that are alike: a local search over what each group of cases brings."""

from collections.abc import Sequence

import numpy as np

from hemoseg.arrays import Float64, Int64

Counts = Int64[np.ndarray, "g f"]
"""What each group holds of each feature."""

ROUNDS = 100
"""Searches from a disturbed best, at most; most cohorts need one."""
KICKS = 5
"""Exchanges by chance that disturb it."""
WORK = 100_000_000
"""Pairs of kinds of groups looked at, at most, so that large cohorts take seconds."""


def balance(counts: Counts, weights: Sequence[float], *, folds: int, seed: int) -> Int64[np.ndarray, " g"]:
    """The fold of each group, such that folds hold about the same of every feature.

    The weighted sum over features and folds of squared totals is least when the folds' totals differ by one at most.
    Groups are dealt to the folds in the order of what they hold; then the exchange or move of groups between two folds
    that lowers the sum most is made, until none does; then the best so far is disturbed and lowered again, until every
    feature is balanced or `ROUNDS` are over. Groups that hold the same are one kind, so time depends on kinds.

    Args:
        counts: what each group holds of each feature.
        weights: how much each feature matters; those of the first should dwarf the later ones'.
        folds: number of folds, at most the number of groups.
        seed: which of equal groups go where, and where the search turns (NumPy's PCG64).
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    kinds, kind_of = np.unique(counts, axis=0, return_inverse=True)
    kind_of = kind_of.reshape(-1)
    shuffled = generator.permutation(len(counts))
    order = shuffled[np.lexsort((-kind_of[shuffled], -counts[shuffled, 0]))]
    dealt = np.arange(len(counts)) % folds
    held = np.zeros((len(kinds) + 1, folds), dtype=np.int64)  # the last kind is no group: exchanged for it, one moves
    np.add.at(held, (kind_of[order], dealt), 1)
    held[-1] = len(counts)
    held = _search(np.vstack([kinds, np.zeros_like(kinds[:1])]), np.asarray(weights, dtype=float), held, generator)
    fold_of = np.empty(len(counts), dtype=np.int64)
    for kind, number in enumerate(held[:-1]):
        fold_of[order[kind_of[order] == kind]] = np.repeat(np.arange(folds), number)
    return fold_of


def _search(
    kinds: Counts, weights: Float64[np.ndarray, " f"], held: Int64[np.ndarray, "k n"], generator: "np.random.Generator"
) -> Int64[np.ndarray, "k n"]:
    """How many groups of each kind each fold holds, after the search from `held`."""
    folds = held.shape[1]
    best, least = held, np.inf
    for _ in range(max(1, min(ROUNDS, WORK // (len(kinds) ** 2 * folds**2)))):
        held = _descend(kinds, weights, held.copy())
        excess = _excess(held.T @ kinds, weights)
        if excess < least:
            best, least = held, excess
        if least == 0:
            break
        held = best.copy()
        for _ in range(KICKS):
            a, b = generator.choice(folds, 2, replace=False)
            s, t = (generator.choice(np.flatnonzero(held[:-1, fold])) for fold in (a, b))
            _exchange(held, (int(a), int(b), int(s), int(t)))
    return best


def _descend(
    kinds: Counts, weights: Float64[np.ndarray, " f"], held: Int64[np.ndarray, "k n"]
) -> Int64[np.ndarray, "k n"]:
    """Make the best exchange until none lowers the sum of squares.

    A group that holds v changes place with one that holds u, from a fold with totals a to one with totals b. With
    d = v - u the sum of squares changes by 2 d·d - 2 d·(a - b).
    """
    weighted = kinds * weights
    norms = (weighted * kinds).sum(axis=1)
    apart = 2 * (norms[:, None] + norms[None, :] - 2 * (weighted @ kinds.T))
    folds = held.shape[1]
    pairs = [(a, b) for a in range(folds) for b in range(a + 1, folds)]
    while True:
        totals = held.T @ kinds
        least, best = 0.0, None
        for a, b in pairs:
            pull = 2 * (weighted @ (totals[a] - totals[b]))
            change = apart - pull[:, None] + pull[None, :]
            change[held[:, a] == 0] = np.inf
            change[:, held[:, b] == 0] = np.inf
            place = int(change.argmin())
            if change.flat[place] < least:
                least, best = float(change.flat[place]), (a, b, *divmod(place, len(kinds)))
        if best is None:
            return held
        _exchange(held, best)


def _exchange(held: Int64[np.ndarray, "k n"], move: tuple[int, int, int, int]) -> None:
    """A group of kind s leaves fold a for b, and one of kind t comes back."""
    a, b, s, t = move
    held[s, a] -= 1
    held[s, b] += 1
    held[t, b] -= 1
    held[t, a] += 1


def _excess(totals: Int64[np.ndarray, "n f"], weights: Float64[np.ndarray, " f"]) -> float:
    """How far the weighted sum of squares is above that of folds whose totals differ by one at most."""
    whole, rest = np.divmod(totals.sum(axis=0), len(totals))
    least = (whole + 1) ** 2 * rest + whole**2 * (len(totals) - rest)
    return float(((totals**2).sum(axis=0) - least) @ weights)
