"""Classes that are made of label numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from hemoseg.labels import LabelTable


class Region(BaseModel):
    """A class that is made of one or more label numbers; a network has one output for it, apart from all others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    """Label numbers that belong to it."""
    paint: PositiveInt
    """Number that its voxels get in a label map, where no later region is found."""

    @classmethod
    def of_table(cls, table: LabelTable) -> "tuple[Region, ...]":
        """The regions of a table, none if it has none."""
        return tuple(cls(labels=own, paint=paint) for own, paint in zip(table.regions, table.paint, strict=True))


def make_table(labels: tuple[str, ...], regions: tuple[Region, ...], ignore: int | None = None) -> LabelTable:
    """The label table of class names and regions."""
    return LabelTable(
        labels,
        ignore,
        regions=tuple(region.labels for region in regions),
        paint=tuple(region.paint for region in regions),
    )
