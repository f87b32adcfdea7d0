"""dataset.json and dataset_fingerprint.json of nnU-Net v2, written from our fingerprint."""

from typing import Any

from hemoseg.interop.nnunet_labels import paint_entry
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.nnunet.from_fingerprint import facts_from_fingerprint


def write_dataset_json(fingerprint: Fingerprint) -> dict[str, Any]:
    """The content of a dataset.json for a data set that was measured here."""
    return {
        "channel_names": {str(index): name for index, name in enumerate(fingerprint.channel_names)},
        "labels": fingerprint.table.entry,
        "numTraining": len(fingerprint.cases),
        "file_ending": fingerprint.file_ending,
        **paint_entry(fingerprint.table),
    }


def write_fingerprint_json(fingerprint: Fingerprint) -> dict[str, Any]:
    """The content of a dataset_fingerprint.json for a data set that was measured here."""
    facts = facts_from_fingerprint(fingerprint)
    return {
        "spacings": [list(spacing) for spacing in facts.spacings_mm],
        "shapes_after_crop": [list(shape) for shape in facts.shapes],
        "foreground_intensity_properties_per_channel": {
            str(index): intensity.model_dump()
            for index, intensity in enumerate(facts.intensities)
            if intensity is not None
        },
        "median_relative_size_after_cropping": facts.relative_size,
    }
