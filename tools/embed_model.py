"""Put the model of a finished phe-sich run into the package.

Run: python tools/embed_model.py runs/phe --fold 0

One fold of each selected network is shipped, so that a scan takes a fifth of the time; the card's figures are of all.

Weights, plan, selection and every figure of the card come from the run's own files; what is written here is what
no run can know: where the data come from, what their labels are worth and under which terms they stand.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from worth import HEAD, worth

from hemoseg.inference.agreement import measure_agreement
from hemoseg.models import embedded_folder, open_bundle, write_bundle
from hemoseg.pipeline.card import RunFiles, model_card
from hemoseg.pipeline.conclude import evaluation_date, half_precision_weights, read_run
from hemoseg.pipeline.folder import RunFolder

NAME, VERSION = "phe-sich-3d", "0.2.0"
LARGEST_BYTES = 15_000_000
NOTICE = (
    "Research use only. Not a medical device. Not for diagnosis. Trained on PHE-SICH-CT-IDS, whose terms are disputed "
    "(non-commercial in its paper, CC BY-SA 4.0 on a copy): use it for non-commercial research only. Its hemorrhage "
    "labels are silver, not made by radiologists."
)
ABOUT_DATA = (
    "Source: PHE-SICH-CT-IDS (arXiv 2308.10521): spontaneous hemorrhage of the basal ganglia with edema around it. "
    "**Edema labels are manual. Hemorrhage labels are silver**: the hyperdense core in an expert's box beside the "
    "manual edema. Dice of hemorrhage is therefore agreement with silver labels, not accuracy against radiologists.",
    "",
    "The scans are 8-bit with HU clipped to [-20, 100]; level 40 of their window was assumed. Spacing is nominal, and "
    "so are all milliliters.",
    "",
)
UNSEEN = (
    "True HU of air, fat and bone, other kernels, scanners and hospitals; slices thinner than about 5 mm.",
    "Subdural, epidural, subarachnoid and purely intraventricular hemorrhage; lobar, cerebellar and brain stem "
    "hemorrhage; trauma; contrast agent; surgery; children.",
    "It was trained on no head without hemorrhage: false positives there must be expected.",
)
TERMS = """\
Terms of the weights in this folder
===================================
Copyright of the weights: the hemoseg authors. The Apache-2.0 license of hemoseg covers its code, not this folder's
weights.

The weights were trained on PHE-SICH-CT-IDS (arXiv 2308.10521). Its paper says that it is "freely published for
non-commercial purpose"; a copy of it on Kaggle says CC BY-SA 4.0. The two contradict each other. Until that is
settled these weights may be used, copied and changed for non-commercial research only, with this text kept beside
them, under CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/) as far as that copy's terms apply.

Research use only. Not a medical device. No warranty of any kind.
"""


def main() -> None:
    """Write the bundle, then read it back with all hashes checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder with evaluation.json")
    parser.add_argument("--fold", type=int, required=True, help="fold whose networks are shipped")
    options = parser.parse_args()
    folder = RunFolder(options.run)
    run = read_run(folder)
    if len(run.settings.folds) > 1:
        run = replace(run, calibration=run.calibration.model_copy(update={"networks": "one-of-folds"}))
    shipped = run.selection.model_copy(update={"folds": dict.fromkeys(run.selection.folds, (options.fold,))})
    target = embedded_folder() / NAME
    write_bundle(
        target,
        name=NAME,
        model_version=VERSION,
        notice=NOTICE,
        plan=run.plan,
        selection=shipped,
        card=model_card(
            run,
            name=NAME,
            notice=NOTICE,
            about_data=(*ABOUT_DATA, f"{HEAD} {worth()}", "", _shipped(run, options.fold)),
            unseen=UNSEEN,
            today=evaluation_date(folder),
        ),
        license_text=TERMS,
        weights=half_precision_weights(folder, shipped).items(),
        calibration=run.calibration,
        measure=measure_agreement,
    )
    bundle = open_bundle(target)
    size = sum(path.stat().st_size for path in target.iterdir())
    assert size < LARGEST_BYTES, f"{size} bytes are too many to ship"
    print(f"{bundle.manifest.name} {bundle.manifest.model_version}: {size / 1e6:.1f} MB, {bundle.sha256}")


def _shipped(run: RunFiles, fold: int) -> str:
    """Which of the networks this is, and what the figures stand for."""
    folds = run.settings.folds
    return (
        f"**One network of {len(folds)} is shipped, that of fold {fold}.** The figures and the intervals are of all, "
        "each on the scans that it had not seen: what to expect of any one of them on such scans."
    )


if __name__ == "__main__":
    main()
