"""What nnU-Net's planners would read of a data set that was measured here."""

from statistics import median

from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.nnunet.facts import DatasetFacts


def facts_from_fingerprint(fingerprint: Fingerprint, *, v1: bool = False) -> DatasetFacts:
    """What nnU-Net's planners would read of a data set that was measured here.

    Args:
        fingerprint: the data set.
        v1: take intensities as nnU-Net v1 pools them.
    """
    return DatasetFacts(
        dataset_name=fingerprint.dataset_name,
        channel_names=fingerprint.channel_names,
        label_count=fingerprint.label_count,
        training_cases=len(fingerprint.cases),
        file_ending=fingerprint.file_ending,
        spacings_mm=tuple(case.stored_spacing_mm for case in fingerprint.cases),
        shapes=tuple(case.nonzero_shape for case in fingerprint.cases),
        relative_size=median(case.nonzero_share for case in fingerprint.cases),
        intensities=fingerprint.intensity_v1 if v1 else fingerprint.intensity,
    )
