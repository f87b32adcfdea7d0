"""What a pass over the data would record, without data."""

from hemoseg.planning import Fingerprint, SteppedCase, SteppedFacts, preparation_digest, stepped_preparation
from hemoseg.settings import Settings


def stepped_facts(
    fingerprint: Fingerprint,
    settings: Settings,
    *,
    spacing_mm: tuple[float, float, float] = (1.0, 0.9, 0.9),
    shape: tuple[int, int, int] = (150, 220, 190),
    relative_size: float = 0.6,
) -> SteppedFacts:
    """All cases alike after the steps that the settings ask for."""
    digest = preparation_digest(stepped_preparation(fingerprint, settings))
    cases = tuple(
        SteppedCase(
            name=case.name,
            source_sha256=case.source_sha256,
            preparation_sha256=digest,
            spacing_mm=spacing_mm,
            shape=shape,
            relative_size=relative_size,
        )
        for case in fingerprint.cases
    )
    return SteppedFacts(preparation_sha256=digest, cases=cases)
