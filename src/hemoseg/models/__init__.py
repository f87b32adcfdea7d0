"""Model bundles: folders with weights, plan, selection, card and hashes; some come with the package."""

from hemoseg.models.bundle import (
    Bundle,
    Manifest,
    Selection,
    embedded_folder,
    find_bundle,
    list_bundles,
    open_bundle,
    weights_name,
    write_bundle,
)

__all__ = [
    "Bundle",
    "Manifest",
    "Selection",
    "embedded_folder",
    "find_bundle",
    "list_bundles",
    "open_bundle",
    "weights_name",
    "write_bundle",
]
