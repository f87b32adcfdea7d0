"""What does each window show of the labeled tissue of phe-sich, and what has the data's clipping taken before?

Run: python benchmarks/windows.py --data DATA/phe-sich

Of every scan, the share of a class's voxels below a window, within it and above it, and at the limits to which the data
were clipped, where a value says no more than "this or beyond". Printed are means over the scans that have the class.
The rest is what lies in the brain's region without a label, the bone around it included. The labels of hemorrhage are
silver: a threshold made them.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hemoseg.brain import find_brain
from hemoseg.datasets import index_dataset, read_case
from hemoseg.windows import WINDOWS, window_named

CLIPPED_HU = (-20.0, 100.0)
"""Range that phe-sich holds."""


def ranges() -> dict[str, tuple[float, float]]:
    """Limits in HU of each named window, by name."""
    return {name: ((window := window_named(name)).low_hu, window.high_hu) for name in WINDOWS}


def tissues(data: Path) -> Iterator[dict[str, np.ndarray]]:
    """Values in HU of each class of each scan, and of the rest of its brain's region."""
    dataset = index_dataset(data)
    for case in dataset.cases:
        volume, labels = read_case(case, dataset.table)
        assert labels is not None
        within = find_brain(volume).at([np.arange(size) for size in volume.hu.shape])
        found = {name: volume.hu[labels == number] for number, name in enumerate(dataset.table.names) if number}
        yield found | {"the rest": volume.hu[within & (labels == 0)]}


def shares(values: np.ndarray, low: float, high: float) -> tuple[float, float, float]:
    """Shares of values below the window, within it, and above it."""
    below, above = float(np.mean(values < low)), float(np.mean(values > high))
    return below, 1.0 - below - above, above


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="phe-sich, in nnU-Net v2 raw layout")
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for scan in tissues(parser.parse_args().data):
        for tissue, values in scan.items():
            if values.size:
                for name, (low, high) in ranges().items():
                    rows.setdefault((tissue, name), []).append(shares(values, low, high))
                at = (float(np.mean(values <= CLIPPED_HU[0])), float(np.mean(values >= CLIPPED_HU[1])))
                rows.setdefault((tissue, "at the data's limits"), []).append((at[0], 1.0 - sum(at), at[1]))
    table = Table("tissue", "window", "HU", "below", "within", "above", "scans")
    for (tissue, name), found in rows.items():
        low, high = ranges().get(name, CLIPPED_HU)
        means = (f"{share:.4f}" for share in np.mean(found, axis=0))
        table.add_row(tissue, name, f"{low:g} to {high:g}", *means, str(len(found)))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
