"""dataset.json and dataset_fingerprint.json of nnU-Net v2, read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hemoseg.errors import InputError
from hemoseg.interop.foreign_json import checked, read_json_object
from hemoseg.interop.nnunet_schema import NO_READER, DatasetJson, FingerprintJson, IntensityJson
from hemoseg.plan import Intensity
from hemoseg.planning.nnunet import DatasetFacts

DATASET_KIND = "a dataset.json of nnU-Net v2: channel_names, labels, numTraining, file_ending"
FINGERPRINT_KIND = (
    "a dataset_fingerprint.json of nnU-Net v2: spacings and shapes_after_crop of as many cases, "
    "foreground_intensity_properties_per_channel, median_relative_size_after_cropping"
)


def read_dataset_json(path: Path) -> DatasetJson:
    """A dataset.json.

    Raises:
        InputError: it is absent, no JSON or not nnU-Net's.
    """
    return parse_dataset_json(read_json_object(path, kind=DATASET_KIND), where=path)


def parse_dataset_json(content: Mapping[str, Any], *, where: Path | str) -> DatasetJson:
    """The content of a dataset.json, checked.

    Raises:
        InputError: a value is missing or wrong.
    """
    return checked(lambda: DatasetJson.model_validate(content), where=where, kind=DATASET_KIND)


def read_facts(fingerprint_path: Path, dataset_json_path: Path, *, dataset_name: str) -> DatasetFacts:
    """What nnU-Net's planners read of a data set.

    Raises:
        InputError: a file is absent, no JSON or not nnU-Net's, or the two are not of one data set.
    """
    dataset = read_dataset_json(dataset_json_path)
    content = read_json_object(fingerprint_path, kind=FINGERPRINT_KIND)
    return facts_from_json(dataset, content, dataset_name=dataset_name, where=fingerprint_path)


def facts_from_json(
    dataset: DatasetJson, fingerprint: Mapping[str, Any], *, dataset_name: str, where: Path | str
) -> DatasetFacts:
    """The same of content that is read already.

    Raises:
        InputError: a value is missing or wrong.
    """
    parsed = checked(lambda: FingerprintJson.model_validate(fingerprint), where=where, kind=FINGERPRINT_KIND)
    said = parsed.foreground_intensity_properties_per_channel
    training = dataset.numTraining
    if training is None:
        raise InputError(
            "no numTraining",
            where=f"{dataset_name}/dataset.json",
            expected=DATASET_KIND,
            remedy="write the number of cases there: batches are limited by it",
        )
    return DatasetFacts(
        dataset_name=dataset_name,
        channel_names=tuple(dataset.channel_names.values()),
        label_count=len(dataset.labels),
        training_cases=int(training) if training.is_integer() else training,
        file_ending=dataset.file_ending,
        reader=None if dataset.overwrite_image_reader_writer == NO_READER else dataset.overwrite_image_reader_writer,
        spacings_mm=parsed.spacings,
        shapes=parsed.shapes_after_crop,
        relative_size=parsed.median_relative_size_after_cropping,
        intensities=intensities_by_channel(said, len(dataset.channel_names)),
        said_intensities=said,
        is_from_files=True,
    )


def intensities_by_channel(said: Any, channels: int) -> tuple[Intensity | None, ...]:
    """Intensities in the order of the channels; None where a channel has none, or not all seven as numbers.

    Those of further channels are passed over: nnU-Net looks up what it needs.
    """
    found: list[Intensity | None] = []
    for index in range(channels):
        try:
            found.append(IntensityJson.model_validate(said.get(str(index)) if isinstance(said, dict) else None).typed())
        except ValidationError:
            found.append(None)
    return tuple(found)
