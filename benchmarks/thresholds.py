"""Would edema be found better if more, or less, than the largest probability were asked for it?

Run: hemoseg segment SCANS --out OUT --probabilities
     python benchmarks/thresholds.py --data DATA/phe-sich --masks OUT

SCANS are those that the model has not seen: of the embedded model, what fold 0 of `study.py` holds out. A voxel that is
not hemorrhage in the mask counts as edema where its probability exceeds a threshold. Printed are means of Dice over
the scans, with the manual labels, and beside them Dice of the mask as it is.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hemoseg.datasets import index_dataset
from hemoseg.io import read_labels
from hemoseg.io.nifti import read_numbers

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Dice of two masks, of which the second is not empty."""
    return float(2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="phe-sich, in nnU-Net v2 raw layout")
    parser.add_argument("--masks", type=Path, required=True, help="what hemoseg segment --probabilities wrote")
    options = parser.parse_args()
    dataset = index_dataset(options.data)
    numbers = {name: number for number, name in enumerate(dataset.table.names)}
    scores = []
    for case in dataset.cases:
        folder = options.masks / f"{case.name}_0000"
        if not (folder / "mask.nii.gz").is_file() or case.label is None:
            continue
        mask, truth = read_labels(folder / "mask.nii.gz")[0], read_labels(case.label)[0] == numbers["edema"]
        (file,) = folder.glob("probability_*_edema.nii.gz")
        probability, blood = read_numbers(file)[1], mask == numbers["hemorrhage"]
        rows = [dice(mask == numbers["edema"], truth)]
        scores.append(rows + [dice((probability > threshold) & ~blood, truth) for threshold in THRESHOLDS])
    table = Table("threshold", "mean Dice", "scans")
    for name, mean in zip(("as it is", *map(str, THRESHOLDS)), np.mean(scores, axis=0), strict=True):
        table.add_row(name, f"{mean:.4f}", str(len(scores)))
    Console().print(table)


if __name__ == "__main__":
    main()
