"""One thing found in a data set."""

from dataclasses import dataclass

from hemoseg.datasets.doctor.kinds import KINDS, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One defect of one case, of several together, or of the data set."""

    code: str
    """Its kind; one of `KINDS`."""
    cases: tuple[str, ...] = ()
    """Names of the cases it concerns together; none if it concerns the data set as such."""
    found: str
    """What was found, with values."""
    slices: tuple[int, ...] = ()
    """Slices to look at, as stored, from 0."""

    @property
    def kind(self) -> Kind:
        """What it is and what to do about it."""
        return KINDS[self.code]
