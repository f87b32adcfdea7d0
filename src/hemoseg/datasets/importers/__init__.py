"""Published data sets, and folders of one's own, as nnU-Net v2 raw folders with a record of where they come from."""

from hemoseg.datasets.importers.bhsd import discover_bhsd
from hemoseg.datasets.importers.core import Discover, ImportRequest, SourceCase, SourceSet
from hemoseg.datasets.importers.ct_ich import discover_ct_ich
from hemoseg.datasets.importers.instance22 import discover_instance22
from hemoseg.datasets.importers.merge import MergeRequest, discover_merge
from hemoseg.datasets.importers.nnunet_v1 import discover_nnunet_v1
from hemoseg.datasets.importers.pairs import discover_pairs
from hemoseg.datasets.importers.place import Placed, Placing, place_case

FORMATS: dict[str, Discover] = {
    "instance22": discover_instance22,
    "ct-ich": discover_ct_ich,
    "bhsd": discover_bhsd,
    "pairs": discover_pairs,
    "nnunet-v1": discover_nnunet_v1,
}
"""The formats by the name that the command line gives them."""

__all__ = [
    "FORMATS",
    "ImportRequest",
    "MergeRequest",
    "Placed",
    "Placing",
    "SourceCase",
    "SourceSet",
    "discover_merge",
    "place_case",
]
