"""Two models on the same cases: which is better, and is that more than chance?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hemoseg.errors import InputError
from hemoseg.evaluation.rank import check_same_cases
from hemoseg.evaluation.result import Case, Result
from hemoseg.evaluation.statistics import SEED, MeanInterval, bootstrap_mean

LEVEL = 0.05
"""Largest p that counts as evidence."""
BETTER = {
    **dict.fromkeys(("dice", "iou", "nsd", "lesion_f1", "lesion_recall", "lesion_precision", "Dice", "IoU"), 1),
    **dict.fromkeys(("hd_mm", "hd95_mm", "assd_mm", "rvd", "absolute_volume_error_ml", "false_positives_per_scan"), -1),
}
"""{metric: 1 where more is better, -1 where less is}; other metrics have no better end and are not judged."""
EXACT = 50
"""Most differences of which the test's distribution is counted out."""
METHOD = (
    "differences are B minus A per patient (mean over a patient's cases); interval: 95 % bootstrap over patients; p: "
    f"two-sided Wilcoxon signed-rank test; one is called better if the interval leaves out 0 and p is below {LEVEL:g}. "
    "No correction for looking at several metrics: name yours beforehand"
)
"""How the verdict comes about, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One metric of one class, B against A."""

    class_name: str
    metric: str
    mean_a: float | None
    """Mean over the cases that both have a value for."""
    mean_b: float | None
    difference: MeanInterval
    """B minus A over patients; `n` is their number."""
    p: float | None
    """Of the Wilcoxon test; None without cases."""
    left_out: int
    """Cases for which one of the two, or both, have no value."""
    verdict: str
    """In words."""


def compare_results(a: Result, b: Result, *, names: tuple[str, str] = ("A", "B")) -> dict[str, Any]:
    """The comparison of two results, ready for strict JSON.

    Args:
        a: the first model's result.
        b: the second's, on the same cases by the same protocol.
        names: what to call them in errors and verdicts.

    Raises:
        InputError: other protocol, cases, classes or metrics.
    """
    if a.protocol != b.protocol:
        raise _differ(f"{names[0]} is by the protocol {a.protocol}, {names[1]} by {b.protocol}", names, "one protocol")
    check_same_cases(dict(zip(names, (a, b), strict=True)))
    pairs = _pairs(a, b)
    columns = _columns(a.cases)
    if columns != _columns(b.cases):
        odd = sorted("/".join(column) for column in set(columns) ^ set(_columns(b.cases)))
        raise _differ(f"not in both: {', '.join(odd[:8])}", names, "the same classes and metrics")
    rows = [_difference(pairs, *column, names) for column in columns]
    if not rows:
        raise _differ(f"no metric per case in the protocol {a.protocol}", names, "metrics that can be judged per case")
    return {
        "version": 1,
        "protocol": a.protocol,
        "a": names[0],
        "b": names[1],
        "cases": len(pairs),
        "method": METHOD,
        "differences": [asdict(row) for row in rows],
        "verdict": [*_summary(rows, names), *(row.verdict for row in rows)],
    }


def _pairs(a: Result, b: Result) -> list[tuple[str, Case, Case]]:
    """(patient, case of A, case of B)."""
    of_b = {case.case: case for case in b.cases}
    return [(case.patient or of_b[case.case].patient or case.case, case, of_b[case.case]) for case in a.cases]


def _columns(cases: Sequence[Case]) -> list[tuple[str, str]]:
    """(class, metric) of what has a better end, in the order of the first case."""
    classes = cases[0].classes if cases else {}
    return [(name, metric) for name, scores in classes.items() for metric in scores if better(metric)]


def better(metric: str) -> int:
    """1 where more is better, -1 where less is, 0 where there is no better end.

    Example:
        >>> better("nsd_0.42mm"), better("hd95_mm"), better("volume_ml")
        (1, -1, 0)
    """
    return BETTER["nsd"] if metric.startswith("nsd_") else BETTER.get(metric, 0)


def _difference(
    pairs: Sequence[tuple[str, Case, Case]], class_name: str, metric: str, names: tuple[str, str]
) -> Difference:
    values = []
    for patient, of_a, of_b in pairs:
        x, y = of_a.classes[class_name][metric], of_b.classes[class_name][metric]
        if isinstance(x, float) and isinstance(y, float):
            values.append((patient, x, y))
    patients = [patient for patient, _, _ in values]
    first, second = (np.array([value[side] for value in values], dtype=float) for side in (1, 2))
    group = np.unique(patients, return_inverse=True)[1] if values else np.zeros(0, dtype=int)
    per_patient = np.bincount(group, weights=second - first) / np.maximum(1, np.bincount(group))
    difference = bootstrap_mean(per_patient.tolist(), seed=SEED)
    p = wilcoxon_p(per_patient.tolist())
    left_out = len(pairs) - len(values)
    return Difference(
        class_name=class_name,
        metric=metric,
        mean_a=float(first.mean()) if values else None,
        mean_b=float(second.mean()) if values else None,
        difference=difference,
        p=p,
        left_out=left_out,
        verdict=f"{class_name} {metric}: {_verdict(difference, p, better(metric), names, left_out=left_out)}",
    )


def wilcoxon_p(differences: Sequence[float]) -> float | None:
    """Two-sided p of the Wilcoxon signed-rank test; 1 where all differences are 0, None without any.

    Zeros are left out, as Wilcoxon did; exact for up to 50 differences without ties, else by the normal
    approximation with continuity correction.

    Source:
        Wilcoxon, Biometrics Bull. 1:80–83 (1945), doi:10.2307/3001968.
    """
    if not differences:
        return None
    if not any(differences):
        return 1.0
    from scipy.stats import wilcoxon

    found = [value for value in differences if value]
    if len(found) <= EXACT and len(set(map(abs, found))) == len(found):
        return float(wilcoxon(found, method="exact").pvalue)
    return float(wilcoxon(found, correction=True, method="approx").pvalue)


def _verdict(difference: MeanInterval, p: float | None, sign: int, names: tuple[str, str], *, left_out: int) -> str:
    if difference.value is None or difference.low is None or difference.high is None or p is None:
        return "no case has a value in both"
    figures = (
        f"difference {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}], p = {p:.3g}, "
        f"n = {difference.n}"
    )
    if left_out:
        figures += f"; {left_out} case{'s' if left_out > 1 else ''} left out"
    if difference.value == difference.low == difference.high == 0:
        return f"no difference at all ({figures})"
    leaves_out_zero = difference.low > 0 or difference.high < 0
    if leaves_out_zero and p < LEVEL:
        winner = names[1] if difference.value * sign > 0 else names[0]
        return f"{winner} is better ({figures})"
    if leaves_out_zero or p < LEVEL:
        return f"interval and test disagree: undecided ({figures})"
    return f"no difference shown ({figures})"


def _summary(rows: Sequence[Difference], names: tuple[str, str]) -> list[str]:
    """One line per class: in how many metrics which is better."""
    lines = []
    for class_name in dict.fromkeys(row.class_name for row in rows):
        verdicts = [row.verdict for row in rows if row.class_name == class_name]
        wins = [sum(f": {name} is better (" in verdict for verdict in verdicts) for name in names]
        lines.append(
            f"{class_name}: of {len(verdicts)} metrics {names[1]} is better in {wins[1]}, {names[0]} in {wins[0]}"
        )
    return lines


def _differ(found: str, names: tuple[str, str], expected: str) -> InputError:
    return InputError(
        found,
        where=" and ".join(names),
        expected=f"two results with {expected}",
        remedy="evaluate both models again in the same way",
    )
