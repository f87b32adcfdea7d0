"""`models` and `version`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def models(
    folder: Annotated[
        Path | None, typer.Option("--models", exists=True, file_okay=False, help="A folder of model bundles.")
    ] = None,
) -> None:
    """List the models that come with hemoseg, then those of a folder; every hash is checked."""
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
