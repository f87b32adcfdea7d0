"""Our arrays against nnU-Net's, scan by scan: how many voxels agree, and by how much the others differ.

Run: python benchmarks/parity.py --data DATA --out /tmp/parity   (needs `make peers`)
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measure import finish, make_parser
from nnunet_parity import Agreement, ParityCase, compare, run_peer
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from hemoseg.errors import InputError
from hemoseg.geometry import Volume
from hemoseg.io import read_scan, write_mask, write_scan

PEERS = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"
TARGETS = {
    "finer": ("3d_fullres", (5.0, 0.75, 0.75)),
    "coarser": ("3d_fullres", (5.0, 1.4, 1.4)),
    "slices": ("3d_fullres", (3.0, 0.7, 0.7)),
    "lowres": ("3d_lowres", (7.3, 1.9, 1.9)),
    "2d": ("2d", (0.8, 0.8)),
    "same": ("3d_fullres", (5.0, 0.94, 0.94)),
}
"""{name: configuration and target spacing (z, y, x) in mm} of the anisotropic scans."""
ISOTROPIC = {
    "finer": ("3d_fullres", (1.2, 0.8, 0.8)),
    "coarser": ("3d_fullres", (2.0, 1.3, 1.3)),
    "lowres": ("3d_lowres", (3.1, 1.9, 1.9)),
}
"""The same of the nearly isotropic scan, whose axes are resampled together."""
SCANS = 4


def parity_cases(data: Path, folder: Path) -> Iterator[ParityCase]:
    """Real scans in all the ways that nnU-Net can take them.

    Args:
        data: folder that holds phe-sich and nifti.
        folder: where scans that have to be made are written.

    Raises:
        InputError: phe-sich is not there.
    """
    images = sorted((data / "phe-sich" / "imagesTr").glob("*_0000.nii.gz"))[:SCANS]
    if len(images) < SCANS:
        raise InputError("fewer scans", where=data, expected=f"phe-sich with {SCANS} scans", remedy="name its folder")
    for image in images:
        name = image.name.removesuffix("_0000.nii.gz")
        label = data / "phe-sich" / "labelsTr" / f"{name}.nii.gz"
        for kind, (configuration, spacing) in TARGETS.items():
            yield ParityCase(
                name=f"{name}-{kind}", image=image, label=label, configuration=configuration, spacing_mm=spacing
            )
    yield from _special_cases(images[0], data, folder)
    yield from _isotropic_cases(data / "nifti" / "cranium.nii.gz", folder)


def compare_all(data: Path, out: Path) -> bool:
    """Run both sides and print the table; whether all agree."""
    cases = list(parity_cases(data, out / "scans"))
    run_peer(PEERS, cases, out / "peer")
    found = {case.name: compare(case, out / "peer") for case in cases}
    _print(found)
    agree = all(agreement.agrees for agreement in found.values())
    worst = max(agreement.largest_sd for agreement in found.values())
    least = min(agreement.close_share for agreement in found.values())
    print(json.dumps({"name": "parity", "close_share": least, "largest_sd": worst, "n": len(found), "agree": agree}))
    return agree


def _special_cases(image: Path, data: Path, folder: Path) -> Iterator[ParityCase]:
    """Another order of axes; and a scan whose air is 0, so that it is cropped and normalized inside its mask."""
    label = data / "phe-sich" / "labelsTr" / image.name.replace("_0000", "")
    spacing = (0.9, 4.0, 1.1)
    yield ParityCase(
        name="transposed",
        image=image,
        label=label,
        configuration="3d_fullres",
        spacing_mm=spacing,
        transpose=(1, 0, 2),
        scheme="zscore",
    )
    volume = read_scan(image)
    air_is_zero = Volume(
        hu=np.where(volume.hu == volume.hu.min(), np.float32(0), volume.hu),
        grid=volume.grid,
        slices=volume.slices,
        name="masked",
        nifti_header=volume.nifti_header,
    )
    path = folder / "masked.nii.gz"
    write_scan(path, air_is_zero)
    for kind, spacing in {"masked": (5.0, 0.94, 0.94), "masked-finer": (4.0, 0.8, 0.8)}.items():
        yield ParityCase(
            name=kind,
            image=path,
            label=label,
            configuration="3d_fullres",
            spacing_mm=spacing,
            scheme="zscore",
            masked=True,
        )


def _isotropic_cases(image: Path, folder: Path) -> Iterator[ParityCase]:
    """A scan of thin slices, with two made-up classes: smooth blobs of soft tissue, and their borders."""
    volume = read_scan(image)
    blurred = ndimage.gaussian_filter(np.clip(volume.hu, -20, 100), 2)
    labels = (blurred > 35).astype(np.uint8) + (blurred > 55).astype(np.uint8)
    label = folder / "cranium-label.nii.gz"
    write_mask(label, labels, volume)
    for kind, (configuration, spacing) in ISOTROPIC.items():
        yield ParityCase(
            name=f"cranium-{kind}", image=image, label=label, configuration=configuration, spacing_mm=spacing
        )


def _print(found: dict[str, Agreement]) -> None:
    table = Table("case", "voxels", "within 1e-4 sd", "largest, sd", "labels differ", "tied", "masks differ", "tied")
    for name, one in found.items():
        table.add_row(
            name,
            f"{one.voxels:,}",
            f"{100 * one.close_share:.4f} %",
            f"{one.largest_sd:.1e}",
            *map(str, (one.labels_differ, one.labels_tied, one.restored_differ, one.restored_tied)),
        )
    Console(width=120).print(table)


def main() -> None:
    """Compare, and end with exit code 1 if anything differs."""
    options = make_parser(__doc__, data="folder that holds phe-sich and nifti").parse_args()
    finish(lambda: compare_all(options.data, options.out))


if __name__ == "__main__":
    main()
