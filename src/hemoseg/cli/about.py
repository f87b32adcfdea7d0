"""`models` and `version`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def models(
    folder: Annotated[
        Path | None, typer.Option("--models", exists=True, file_okay=False, help="A folder of model bundles.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compute every hash anew and name all that differs; exit code 2 if any.")
    ] = False,
) -> None:
    """List the models that come with hemoseg, then those of a folder; every hash is checked."""
    if verify:
        _verify(folder)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from hemoseg.models import embedded_folder, list_bundles, open_bundle

    table = Table("name", "version", "classes", "SHA-256", "notice", "place")
    for root in (embedded_folder(), folder):
        for path in list_bundles(root) if root is not None else ():
            bundle = open_bundle(path)
            place = "embedded" if root == embedded_folder() else str(path)
            manifest = bundle.manifest
            classes = ", ".join(bundle.plan.labels[1:])
            notice = " ".join((manifest.notice, *(f"Warning: {text}." for text in manifest.warnings)))
            row = (manifest.name, manifest.model_version, classes, bundle.sha256[:12], notice, place)
            table.add_row(*map(escape, row))
    Console().print(table)


def _verify(folder: Path | None) -> None:
    """Say of each bundle whether it is what its manifest says."""
    from hemoseg.errors import InputError
    from hemoseg.models import embedded_folder, list_bundles, verify_bundle

    if folder is not None and not any(list_bundles(folder)):
        raise InputError(
            "no model bundle",
            where=folder,
            expected="a bundle, which holds manifest.json, or a folder of bundles",
            remedy="check the path",
        )
    damaged = 0
    for root in (embedded_folder(), folder):
        for path in list_bundles(root) if root is not None else ():
            found = verify_bundle(path)
            damaged += bool(found)
            for line in found or ["every file is what the manifest says"]:
                typer.echo(f"{path}: {line}")
    if damaged:
        raise typer.Exit(2)


def version(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the versions of hemoseg and of what it stands on."""
    from hemoseg.report import versions

    found = versions()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            typer.echo(f"{name} {value}")
