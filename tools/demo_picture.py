"""Draw the README's picture: a simulated head, what the embedded model found, and the exact truth.

Run: python tools/demo_picture.py
"""

from pathlib import Path

from hemoseg.inference import load_model
from hemoseg.phantom import PhantomSpec, make_phantom
from hemoseg.report import montage_png

TARGET = Path(__file__).parent.parent / "docs" / "images" / "demo.png"
SLICES = 8


def main() -> None:
    """Write the picture and print the volumes that it shows."""
    phantom = make_phantom(PhantomSpec(site="deep", volume_ml=25.0, seed=2))
    result = load_model().segment(phantom.volume)
    png = montage_png(phantom.volume, result.labels, reference=phantom.reference, table=result.table, max_slices=SLICES)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(png)
    print(f"{TARGET.name}: exact {phantom.truth_ml['hemorrhage']:.1f} ml, measured {result.hemorrhage_ml:.1f} ml")


if __name__ == "__main__":
    main()
