"""Measure how far engines agree on a bundle's networks, and put the figures and the test patch into it.

Run: python tools/add_agreement.py src/hemoseg/models/phe-sich-3d

For bundles that were made before this was measured; every other file stays as it is, the weights above all.
"""

import argparse
import shutil
from pathlib import Path

from hemoseg.artifacts import sha256_of, whole_folder, write_model
from hemoseg.inference.agreement import measure_agreement
from hemoseg.models import open_bundle, write_measured


def main() -> None:
    """Write the bundle with two files more, then read it back with all hashes checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="folder of a bundle")
    folder = parser.parse_args().bundle
    bundle = open_bundle(folder)
    first = {configuration.name: bundle.weights(configuration)[0] for configuration in bundle.stages}
    measured = measure_agreement(bundle.plan, first)
    with whole_folder(folder) as temporary:
        for name in bundle.manifest.files:
            shutil.copyfile(folder / name, temporary / name)
        write_measured(temporary, measured)
        files = {path.name: sha256_of(path) for path in sorted(temporary.iterdir())}
        write_model(temporary / "manifest.json", bundle.manifest.model_copy(update={"files": files}))
    found = open_bundle(folder).agreement
    assert found is not None
    for item in found.engines:
        print(f"{item.configuration} {item.engine}: {item.deviation:g} off, {item.other_labels:.2%} other labels")


if __name__ == "__main__":
    main()
