"""What `segment --model` takes: a folder whose every file is hashed in `manifest.json`."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hemoseg.artifacts import dump_json, read_model, readable, sha256_of, whole_folder, write_model
from hemoseg.errors import ArtifactError, InputError
from hemoseg.models.agreement import (
    NUMBERS_FILE,
    PATCHES_FILE,
    Agreement,
    TestPatch,
    read_patch,
    write_patches,
)
from hemoseg.models.calibration import Calibration
from hemoseg.models.selection import Selection
from hemoseg.plan import Configuration, Plan
from hemoseg.postprocess import classes_of

DEFAULT = "phe-sich-3d"
"""Name of the embedded model that `segment` uses when none is named."""
REMEDY = "get the bundle again, or write it again with `hemoseg run`"
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]*"
"""Names of models, as a regular expression."""
CALIBRATION = "calibration.json"
"""The file of the intervals, which a bundle may lack."""
Measured = tuple[Agreement, dict[str, TestPatch]]
"""How far engines agree, and the patch of each configuration that shows it."""
FOREIGN_SHOWN = 8
"""Files in the way that an error names."""


class Manifest(BaseModel):
    """What the bundle is and the hash of every other file in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1, 2] = 2
    """Schema version; 1 has no warnings."""
    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    """Name of the model."""
    model_version: str
    """Version of the model."""
    notice: str
    """What its users must know; printed with every result."""
    warnings: tuple[str, ...] = ()
    """What was special about the data that it was trained on; among the warnings of every result."""
    files: dict[str, str]
    """{path inside the bundle: SHA-256}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A model bundle whose hashes were checked."""

    folder: Path
    """Where it lies."""
    manifest: Manifest
    """What it is."""
    sha256: str
    """SHA-256 of the manifest, which stands for the whole bundle."""
    plan: Plan
    """What it was trained to."""
    selection: Selection
    """Which networks make the result."""
    calibration: Calibration | None = None
    """Intervals around its volumes; None in bundles without `calibration.json`."""
    agreement: Agreement | None = None
    """How far engines agree; None in bundles without `agreement.json`."""

    @property
    def stages(self) -> tuple[Configuration, ...]:
        """The configurations to run, each once, a previous stage before the one that needs it."""
        order: dict[str, Configuration] = {}
        for chosen in map(self.plan.configuration, self.selection.configurations):
            if chosen.previous_stage is not None:
                order[chosen.previous_stage] = self.plan.configuration(chosen.previous_stage)
            order[chosen.name] = chosen
        return tuple(order.values())

    def weights(self, configuration: Configuration) -> list[Path]:
        """The weight files of a configuration, one per fold."""
        folds = self.selection.folds[configuration.name]
        return [self.folder / weights_name(configuration.name, fold) for fold in folds]

    def test_patch(self, configuration: str) -> TestPatch:
        """The patch to try an engine with; there is one where there is an agreement.

        Raises:
            ArtifactError: it is damaged.
        """
        return read_patch(self.folder / PATCHES_FILE, configuration)


def weights_name(configuration: str, fold: int) -> str:
    """File name of one network's weights inside a bundle."""
    return f"{configuration}_fold_{fold}.safetensors"


def embedded_folder() -> Path:
    """The folder of the models that come with the package."""
    return Path(__file__).parent


def list_bundles(folder: Path) -> Iterator[Path]:
    """The folder itself if it holds a manifest, and those below it that do, by name."""
    for path in (folder, *sorted(folder.iterdir())) if folder.is_dir() else ():
        if (path / "manifest.json").is_file():
            yield path


def find_bundle(name: str | Path | None, *, models: Path | None = None, option: str = "--model") -> Path:
    """The folder of a model: a path that holds a manifest, or a name in `models` or in the package.

    Raises:
        InputError: there is no such model.
    """
    wanted = str(name) if name is not None else DEFAULT
    candidates = [Path(wanted)] if name is not None else []
    candidates += [root / wanted for root in (models, embedded_folder()) if root is not None]
    for path in candidates:
        if (path / "manifest.json").is_file():
            return path
    raise InputError(
        f"no model '{wanted}'",
        where=option,
        expected="a name that `hemoseg models` lists, or a bundle's folder, which holds manifest.json",
        remedy="`hemoseg models`, or RUN/model for a model of your own",
    )


def open_bundle(folder: Path) -> Bundle:
    """Read a bundle, refusing it if any file's hash differs from the manifest's.

    Raises:
        ArtifactError: a file is absent, added, changed, or of another version.
        InputError: a file cannot be read.
    """
    manifest = read_model(folder / "manifest.json", Manifest, remedy=REMEDY)
    with readable(folder):
        _check_files(folder, manifest)
        digest = sha256_of(folder / "manifest.json")
    bundle = Bundle(
        folder=folder,
        manifest=manifest,
        sha256=digest,
        plan=read_model(folder / "plan.json", Plan, remedy=REMEDY),
        selection=read_model(folder / "selection.json", Selection, remedy=REMEDY),
        calibration=read_model(folder / CALIBRATION, Calibration, remedy=REMEDY)
        if CALIBRATION in manifest.files
        else None,
        agreement=_read_agreement(folder, manifest),
    )
    _check_selection(bundle)
    return bundle


def _read_agreement(folder: Path, manifest: Manifest) -> Agreement | None:
    if not {NUMBERS_FILE, PATCHES_FILE} <= set(manifest.files):
        return None
    return read_model(folder / NUMBERS_FILE, Agreement, remedy=REMEDY)


def verify_bundle(folder: Path) -> list[str]:
    """All that differs from the manifest, every hash computed anew; nothing if the bundle is whole.

    Where all files are what the manifest says, what stands in them is checked as `open_bundle` does.

    Raises:
        InputError: a file cannot be read.
    """
    try:
        manifest = read_model(folder / "manifest.json", Manifest, remedy=REMEDY)
        with readable(folder):
            found = list(_differences(folder, manifest))
        if not found:
            open_bundle(folder)
    except ArtifactError as error:
        return [f"{Path(error.where).name}: {error.found}"]
    return found


def _check_files(folder: Path, manifest: Manifest) -> None:
    """Every file is in the manifest, and is what the manifest says."""
    for found in _differences(folder, manifest):
        raise _damaged(folder, found)


def _differences(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What is absent, changed, added or outside."""
    for needed in ("plan.json", "labels.json", "selection.json", "card.md", "LICENSE"):
        if needed not in manifest.files:
            yield f"the manifest does not name {needed}"
    for name, expected in manifest.files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            yield f"names a file outside the bundle: {name}"
        elif not path.is_file():
            yield f"{name} is absent"
        elif (found := sha256_of(path)) != expected:
            yield f"{name} has SHA-256 {found[:12]}…, the manifest says {expected[:12]}…"
    for name in sorted({path.name for path in folder.iterdir()} - {*manifest.files, "manifest.json"}):
        yield f"{name} is in the folder and not in the manifest"


def _check_selection(bundle: Bundle) -> None:
    """The networks that are selected are in the plan, and their weights in the manifest."""
    chosen, folds = set(bundle.selection.configurations), bundle.selection.folds
    known = {configuration.name for configuration in bundle.plan.configurations}
    if not {*chosen, *folds} <= known or not chosen <= set(folds):
        listed = ", ".join(sorted(known))
        raise _damaged(bundle.folder, f"selection.json takes {bundle.selection.title}, plan.json has {listed}")
    stages = {bundle.plan.configuration(name).previous_stage for name in chosen} - {None}
    if not stages <= set(folds):
        raise _damaged(bundle.folder, f"selection.json takes {bundle.selection.title} without a previous stage")
    strange = {name for rule in bundle.selection.postprocessing for name in classes_of(rule)} - set(bundle.plan.labels)
    if strange:
        raise _damaged(bundle.folder, f"selection.json has a rule for {min(strange)}, which plan.json does not know")
    for configuration, numbers in folds.items():
        for fold in numbers:
            if weights_name(configuration, fold) not in bundle.manifest.files:
                raise _damaged(bundle.folder, f"the manifest does not name {weights_name(configuration, fold)}")


def check_bundle_name(name: str | None) -> None:
    """Make sure that a name given with --name can be that of a bundle; None can.

    Raises:
        InputError: it cannot.
    """
    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise InputError(
            f"'{name}' is no name of a model",
            where="--name",
            expected="letters, digits, dots, hyphens and underscores, a letter or digit first",
            remedy="choose another name",
        )


def check_bundle_target(folder: Path) -> None:
    """Make sure that a bundle can be written here: nothing is, or an older bundle alone, or an empty folder.

    Raises:
        InputError: it holds something else, which would go, or is a file.
    """
    if not folder.exists():
        return
    with readable(folder):
        foreign = _foreign_files(folder) if folder.is_dir() else [folder.name]
    if foreign:
        more = ", …" if len(foreign) > FOREIGN_SHOWN else ""
        raise InputError(
            f"is in the way: it holds something else than a bundle: {', '.join(foreign[:FOREIGN_SHOWN])}{more}",
            where=folder,
            expected="no such folder, or one with an older bundle and nothing else",
            remedy="choose another folder, or move away what is no bundle's",
        )


def _foreign_files(folder: Path) -> list[str]:
    """What lies in a folder and belongs to no bundle; all that does where there is no bundle's manifest."""
    found = sorted(path.name for path in folder.iterdir())
    if "manifest.json" not in found:
        return found
    try:
        manifest = read_model(folder / "manifest.json", Manifest, remedy=REMEDY)
    except ArtifactError:
        return found
    return sorted({*found} - {*manifest.files, "manifest.json"})


def write_bundle(
    folder: Path,
    *,
    name: str,
    model_version: str,
    notice: str,
    plan: Plan,
    selection: Selection,
    card: str,
    license_text: str,
    weights: Iterable[tuple[str, bytes]],
    warnings: tuple[str, ...] = (),
    calibration: Calibration | None = None,
    measure: Callable[[Plan, dict[str, Path]], Measured | None] | None = None,
) -> None:
    """Write a bundle, whole or not at all; an older one in its place goes.

    Args:
        folder: where to.
        name: name of the model.
        model_version: version of the model.
        notice: what its users must know.
        plan: what it was trained to.
        selection: which networks make the result.
        card: the model card, Markdown.
        license_text: the terms of the weights.
        weights: pairs of `weights_name(…)` and content of the safetensors file, taken one by one.
        warnings: sentences for every result.
        calibration: intervals around its volumes; None where nothing is known of its errors.
        measure: takes the plan and {configuration: weights of its first fold} to how far engines agree, or to None
            where that cannot be known.
    """
    with whole_folder(folder) as temporary:
        write_model(temporary / "plan.json", plan)
        write_model(temporary / "selection.json", selection)
        if calibration is not None:
            write_model(temporary / CALIBRATION, calibration)
        (temporary / "labels.json").write_text(dump_json(plan.table.entry))
        (temporary / "card.md").write_text(card, encoding="utf-8")
        (temporary / "LICENSE").write_text(license_text, encoding="utf-8")
        for file, content in weights:
            (temporary / file).write_bytes(content)
        first = {item: temporary / weights_name(item, folds[0]) for item, folds in selection.folds.items()}
        measured = None if measure is None else measure(plan, first)
        if measured is not None:
            write_measured(temporary, measured)
        files = {path.name: sha256_of(path) for path in sorted(temporary.iterdir())}
        manifest = Manifest(name=name, model_version=model_version, notice=notice, warnings=warnings, files=files)
        write_model(temporary / "manifest.json", manifest)


def write_measured(folder: Path, measured: Measured) -> None:
    """Write how far engines agree into a bundle that is being made; its manifest comes later."""
    agreement, patches = measured
    write_model(folder / NUMBERS_FILE, agreement)
    write_patches(folder / PATCHES_FILE, patches)


def _damaged(folder: Path, found: str) -> ArtifactError:
    return ArtifactError(
        found,
        where=folder / "manifest.json",
        expected="a bundle whose files have the hashes that its manifest names",
        remedy=REMEDY,
    )
