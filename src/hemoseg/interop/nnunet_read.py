"""A plan, read from nnU-Net v2's plans.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hemoseg.errors import InputError
from hemoseg.interop.foreign_json import checked, read_json_object
from hemoseg.interop.nnunet_files import DATASET_KIND, intensities_by_channel, parse_dataset_json
from hemoseg.interop.nnunet_labels import label_doubts, refused_in_training, regions_of
from hemoseg.interop.nnunet_old_plans import with_architecture
from hemoseg.interop.nnunet_schema import (
    OLD_INTENSITIES,
    ConfigurationJson,
    DatasetJson,
    IntensityJson,
    PlansJson,
    ResamplingJson,
    TorchResamplingJson,
    passed_over,
)
from hemoseg.interop.nnunet_write import SCHEMES, TORCH_FUNCTION
from hemoseg.labels import check_class_names
from hemoseg.plan import (
    Channel,
    Configuration,
    NnunetNames,
    Plan,
    PlannerName,
    Precision,
    Preparation,
    Spline,
    SplineResampling,
)
from hemoseg.planning.nnunet import INTENSITIES, orientation_by
from hemoseg.planning.recipes import NNUNET_RECIPE
from hemoseg.settings import DEFAULT_ITERATIONS

PLANS_KIND = "a plans.json of nnU-Net v2 with its default preprocessor, resampling and U-Nets"
"""What is read, for errors."""
RESAMPLED = ("data", "seg", "probabilities")
"""nnU-Net's words for images, labels and logits."""
REMEDY = "if the model was trained so, predict with nnU-Net itself: here its masks would be others; else correct it"
"""What to try where plans say what is not known here."""
PLANNERS: dict[str, PlannerName] = {
    "ExperimentPlanner": "nnunet",
    "nnUNetPlannerResEncM": "nnunet-resenc-m",
    "nnUNetPlannerResEncL": "nnunet-resenc-l",
    "nnUNetPlannerResEncXL": "nnunet-resenc-xl",
}
"""Our names of nnU-Net's planners; a plan of another class counts as one of the first two by its encoder."""


def read_plans_file(plans_path: Path, dataset_json_path: Path, *, precision: Precision = "fp32") -> Plan:
    """The plan in files of nnU-Net.

    Raises:
        InputError: a file is absent, no JSON, not nnU-Net's, or says what is not known here.
    """
    plans = read_json_object(plans_path, kind=PLANS_KIND)
    dataset = read_json_object(dataset_json_path, kind=DATASET_KIND)
    return read_plans(plans, dataset, where=plans_path, precision=precision)


def read_plans(
    plans: Mapping[str, Any],
    dataset_json: Mapping[str, Any],
    *,
    where: Path | str = "plans.json",
    precision: Precision = "fp32",
) -> Plan:
    """The plan in the content of plans.json and dataset.json; `write_plans` gives the content back.

    Plans from before nnU-Net 2.3 are read too. Memory is unknown to plans.json, and what trains is 3d_fullres, or
    2d, or the first configuration.

    Raises:
        InputError: a value is missing or wrong, or says what is not known here.
    """
    parsed = checked(lambda: PlansJson.model_validate(plans), where=where, kind=PLANS_KIND)
    dataset = parse_dataset_json(dataset_json, where=f"dataset.json of {where}")
    refused = refused_in_training(dataset.labels, dataset.region_order)
    if refused is not None:
        raise _contradiction(refused, f"dataset.json of {where}", "labels that nnU-Net can train with")
    check_class_names(dataset.classes, where=f"dataset.json of {where}")
    resolved = {name: _resolved(parsed.configurations, name, where) for name in parsed.configurations}
    items = {name: _parsed(name, content, where) for name, content in resolved.items()}
    preparation = _preparation(parsed, items, dataset, where)
    configurations = tuple(_configuration(name, item, items, precision, where) for name, item in items.items())
    return checked(
        lambda: Plan(
            planner=_planner(parsed.experiment_planner_used, configurations[0]),
            dataset_name=parsed.dataset_name,
            labels=dataset.classes,
            regions=regions_of(dataset.labels, dataset.region_order),
            ignores="ignore" in dataset.labels,
            preparation=preparation,
            recipe=NNUNET_RECIPE,
            configurations=configurations,
            trained=(next((name for name in ("3d_fullres", "2d") if name in items), configurations[0].name),),
            memory_gb=None,
            seed=0,
            nnunet=NnunetNames(
                plans_name=parsed.plans_name,
                experiment_planner=parsed.experiment_planner_used,
                reader=parsed.image_reader_writer,
                median_spacing_mm=parsed.original_median_spacing_after_transp,
                median_shape=parsed.original_median_shape_after_transp,
                said={key: value for key, value in plans.items() if key != OLD_INTENSITIES}
                | {INTENSITIES: parsed.foreground_intensity_properties_per_channel},
            ),
            doubts=(*label_doubts(dataset.labels, dataset.region_order), *_entry_doubts(resolved)),
        ),
        where=where,
        kind=PLANS_KIND,
    )


def _entry_doubts(resolved: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """What is said of entries that nnU-Net passes over, and we too."""
    strange = {name: ", ".join(passed_over(content)) for name, content in resolved.items()}
    return tuple(
        f"configuration {name} has entries that are not nnU-Net's, and were passed over: {entries}"
        for name, entries in strange.items()
        if entries
    )


def _resolved(configurations: Mapping[str, dict[str, Any]], name: str, where: Path | str) -> dict[str, Any]:
    """A configuration with all that it inherits."""
    chain = [name]
    while (parent := configurations[chain[-1]].get("inherits_from")) is not None:
        if not isinstance(parent, str) or parent in chain or parent not in configurations:
            problem = "itself" if parent in chain else "what is not there"
            raise InputError(
                f"configuration {chain[-1]} inherits from {parent}: {problem}",
                where=where,
                expected=f"one of {', '.join(configurations)} that does not lead back",
                remedy="correct inherits_from",
            )
        chain.append(parent)
    content: dict[str, Any] = {}
    for ancestor in reversed(chain):
        content |= configurations[ancestor]
    content["inherits_from"] = configurations[name].get("inherits_from")
    return with_architecture(content, where=f"{where}, configurations.{name}")


def _parsed(name: str, content: Mapping[str, Any], where: Path | str) -> ConfigurationJson:
    place = f"{where}, configurations.{name}"
    return checked(lambda: ConfigurationJson.model_validate(content), where=place, kind=PLANS_KIND, remedy=REMEDY)


def _preparation(
    parsed: PlansJson, items: Mapping[str, ConfigurationJson], dataset: DatasetJson, where: Path | str
) -> Preparation:
    """The preparation, which is one for all configurations."""
    first_name, first = next(iter(items.items()))
    rules = [_resampling(name, item, where) for name, item in items.items()]
    for name, item in items.items():
        for key in (
            "normalization_schemes",
            "use_mask_for_norm",
            *(f"resampling_fn_{kind}{more}" for kind in RESAMPLED for more in ("", "_kwargs")),
        ):
            if getattr(item, key) != getattr(first, key):
                raise _contradiction(
                    f"{key} of {name} is not that of {first_name}", where, "one for all configurations"
                )
    names = tuple(dataset.channel_names.values())
    if len(names) != len(first.normalization_schemes):
        found = f"{len(first.normalization_schemes)} normalization_schemes for {len(names)} channels of dataset.json"
        raise _contradiction(found, where, "one scheme per channel")
    schemes = {class_name: scheme for scheme, class_name in SCHEMES.items()}
    strange = [scheme for scheme in first.normalization_schemes if scheme not in schemes]
    if strange:
        raise _contradiction(f"normalization scheme {strange[0]}", where, f"one of {', '.join(schemes)}")
    said = parsed.foreground_intensity_properties_per_channel
    for index, scheme in enumerate(first.normalization_schemes):
        if schemes[scheme] == "ct":
            _check_intensity(said, index, where)
    intensities = intensities_by_channel(said, len(names))
    return checked(
        lambda: Preparation(
            orientation=orientation_by(parsed.image_reader_writer),
            channels=tuple(
                Channel(
                    name=names[index],
                    source=index,
                    normalization=schemes[scheme],
                    masked=first.use_mask_for_norm[index],
                    intensity=intensities[index],
                )
                for index, scheme in enumerate(first.normalization_schemes)
            ),
            windowed="first",
            head_crop=False,
            transpose=parsed.transpose_forward,
            nonzero_crop=True,
            resampling=rules[0],
        ),
        where=where,
        kind=PLANS_KIND,
    )


def _check_intensity(said: Any, index: int, where: Path | str) -> None:
    """Make sure that a channel has what CT is normalized by."""
    content = said.get(str(index)) if isinstance(said, dict) else None
    if content is None:
        found = f"channel {index}: normalization ct needs foreground intensities"
        raise _contradiction(found, where, "mean, std and percentiles of the foreground for each CT channel")
    checked(lambda: IntensityJson.model_validate(content), where=f"{where}, {INTENSITIES}.{index}", kind=PLANS_KIND)


def _configuration(
    name: str, item: ConfigurationJson, items: Mapping[str, ConfigurationJson], precision: Precision, where: Path | str
) -> Configuration:
    if item.previous_stage is not None and item.previous_stage not in items:
        found = f"previous_stage {item.previous_stage} of {name} is not there"
        raise _contradiction(found, where, f"one of {', '.join(items)}")
    kwargs, axes = item.architecture.arch_kwargs, len(item.patch_size)
    if kwargs.n_stages != len(kwargs.features_per_stage):
        found = f"n_stages {kwargs.n_stages} of {name} for {len(kwargs.features_per_stage)} features_per_stage"
        raise _contradiction(found, where, "one number of features per stage")
    lead = (1,) * (3 - axes)
    values: dict[str, Any] = {
        "name": name,
        "dimensions": axes,
        "inherits_from": item.inherits_from,
        "previous_stage": item.previous_stage,
        "spacing_mm": ((None,) * (3 - axes)) + item.spacing,
        "median_shape": lead + item.median_image_size_in_voxels,
        "patch_size": lead + item.patch_size,
        "batch_size": item.batch_size,
        "encoder": "residual" if item.architecture.is_residual else "plain",
        "features": kwargs.features_per_stage,
        "strides": tuple(lead + stride for stride in kwargs.strides),
        "kernels": tuple(lead + kernel for kernel in kwargs.kernel_sizes),
        "blocks": item.architecture.blocks,
        "decoder_blocks": kwargs.n_conv_per_stage_decoder,
        "batch_dice": item.batch_dice,
        "mirror_axes": tuple(range(3 - axes, 3)),
        "precision": precision,
        "iterations": DEFAULT_ITERATIONS,
    }
    return checked(
        lambda: Configuration.model_validate(values), where=f"{where}, configurations.{name}", kind=PLANS_KIND
    )


def _planner(class_name: str, first: Configuration) -> PlannerName:
    return PLANNERS.get(class_name, "nnunet" if first.encoder == "plain" else "nnunet-resenc-m")


def _resampling(name: str, item: ConfigurationJson, where: Path | str) -> SplineResampling:
    """The resampling of images, labels and logits, by one function."""
    functions = {getattr(item, f"resampling_fn_{kind}") for kind in RESAMPLED}
    if len(functions) > 1:
        found = f"resampling_fn_data and the others of {name}: {' beside '.join(sorted(functions, reverse=True))}"
        raise _contradiction(found, where, "one function for images, labels and logits")
    image, labels, logits = (_spline(name, item, kind, where) for kind in RESAMPLED)
    return SplineResampling(image=image, labels=labels, logits=logits)


def _spline(name: str, item: ConfigurationJson, kind: str, where: Path | str) -> Spline:
    key = f"resampling_fn_{kind}_kwargs"
    by_torch = getattr(item, f"resampling_fn_{kind}") == TORCH_FUNCTION
    kwargs: ResamplingJson | TorchResamplingJson = checked(
        lambda: (TorchResamplingJson if by_torch else ResamplingJson).model_validate(getattr(item, key)),
        where=f"{where}, configurations.{name}.{key}",
        kind=PLANS_KIND,
        remedy=REMEDY,
    )
    if kwargs.is_seg != (kind == "seg"):
        found = f"is_seg {kwargs.is_seg} in {key} of {name}"
        raise _contradiction(found, where, "true for labels, false for images and logits")
    return Spline(
        order=kwargs.order,
        z_order=kwargs.order_z,
        separate_z=kwargs.force_separate_z,
        winner="first" if by_torch and kwargs.is_seg else "largest",
    )


def _contradiction(found: str, where: Path | str, expected: str) -> InputError:
    return InputError(found, where=where, expected=expected, remedy=REMEDY)
