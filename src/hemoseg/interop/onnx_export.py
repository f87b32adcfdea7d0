"""A bundle as ONNX files with a contract: all that has to be done before and after the networks."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat

from hemoseg.artifacts import sha256_of, whole_folder, write_model
from hemoseg.errors import InputError, SettingsError
from hemoseg.inference.tiles import STEP
from hemoseg.models import Bundle, Selection, find_bundle, open_bundle
from hemoseg.plan import Plan
from hemoseg.preprocess import outside_values

LARGEST_DIFFERENCE = 1e-3
"""Logits of ONNX Runtime and torch may differ by this much; about 1e-5 is usual."""


class OnnxNetwork(BaseModel):
    """One network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """Name of its file."""
    sha256: str
    """Hash of its file."""
    configuration: str
    """Its configuration in the plan."""
    fold: int
    """Its fold."""
    input_channels: tuple[str, ...]
    """What it is given: the plan's channels, and for a cascade one 0/1 channel per label number of the previous stage's
    label map, 1 first."""
    largest_difference: NonNegativeFloat
    """Between its logits in ONNX Runtime and in torch, on a patch of noise."""


class OnnxContract(BaseModel):
    """contract.json: what a program has to do with the networks to get the model's label maps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    name: str
    """Name of the model."""
    model_version: str
    """Version of the model."""
    bundle_sha256: str
    """SHA-256 of the bundle's manifest."""
    notice: str
    """What its users must know."""
    stages: tuple[str, ...]
    """Configurations in the order in which they run; one with a previous stage takes its label map."""
    networks: tuple[OnnxNetwork, ...]
    """The networks; logits of one configuration are averaged over them."""
    outside: tuple[float, ...]
    """Value of each of the plan's channels where a patch reaches beyond the volume; further channels are 0 there."""
    repeats_slices: bool
    """Whether, beyond the volume's slices, the outermost ones are repeated in place of that."""
    tile_step: float = STEP
    """Largest distance of neighboring tiles as a share of the patch."""
    weight_sigma: float = 1 / 8
    """Deviation of the Gaussian that weighs a tile's voxels, as a share of the patch."""
    selection: Selection
    """Configurations whose probabilities are averaged, folds, mirroring, and the rules for the label map."""
    plan: Plan
    """Preparation, patches, spacing, mirror axes, classes and regions."""


def export_onnx(model: str | Path, out: Path) -> OnnxContract:
    """Write a bundle's networks as ONNX, with contract.json, card and license; whole or not at all.

    Args:
        model: a bundle's folder, or the name of an embedded model.
        out: the folder to write; it must not be there yet.

    Raises:
        InputError: there is no such model, or the folder is there already.
        SettingsError: onnx or onnxruntime is not installed, or logits differ.
        ArtifactError: the bundle is damaged.
        ResourceError: the folder cannot be written.
    """
    bundle = open_bundle(find_bundle(model, option="BUNDLE"))
    if out.exists():
        raise InputError("is there already", where=out, expected="no such folder", remedy="choose another OUT")
    stages = tuple(configuration.name for configuration in bundle.stages)
    with whole_folder(out) as temporary:
        networks = tuple(network for name in stages for network in _write_networks(bundle, name, temporary))
        contract = OnnxContract(
            name=bundle.manifest.name,
            model_version=bundle.manifest.model_version,
            bundle_sha256=bundle.sha256,
            notice=bundle.manifest.notice,
            stages=stages,
            networks=networks,
            outside=tuple(outside_values(bundle.plan.preparation)),
            repeats_slices=bundle.plan.recipe.repeats_slices,
            selection=bundle.selection,
            plan=bundle.plan,
        )
        write_model(temporary / "contract.json", contract)
        for file in ("card.md", "LICENSE"):
            (temporary / file).write_bytes((bundle.folder / file).read_bytes())
    return contract


def _write_networks(bundle: Bundle, name: str, folder: Path) -> list[OnnxNetwork]:
    from hemoseg.nets.onnx import write_onnx

    plan, configuration = bundle.plan, bundle.plan.configuration(name)
    channels = [channel.name for channel in plan.preparation.channels]
    if configuration.previous_stage is not None:
        channels += [f"{configuration.previous_stage}: {number}" for number in range(1, plan.table.largest + 1)]
    written = []
    for fold, weights in zip(bundle.selection.folds[name], bundle.weights(configuration), strict=True):
        path = folder / f"{name}_fold_{fold}.onnx"
        difference = write_onnx(path, plan, configuration, weights)
        if difference > LARGEST_DIFFERENCE:
            raise SettingsError(
                f"logits of ONNX Runtime differ from torch's by {difference:.2g}",
                where=path.name,
                expected=f"at most {LARGEST_DIFFERENCE:g}",
                remedy="use the model with hemoseg, or another version of onnxruntime",
            )
        written.append(
            OnnxNetwork(
                file=path.name,
                sha256=sha256_of(path),
                configuration=name,
                fold=fold,
                input_channels=tuple(channels),
                largest_difference=difference,
            )
        )
    return written
