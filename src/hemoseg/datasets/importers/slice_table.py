"""CT-ICH's table of what radiologists saw on each slice.

Columns: PatientNumber, SliceNumber (from 1), five kinds of bleeding and No_Hemorrhage, each 0 or 1; others are left
alone. Rows without a patient, which the published table has, are skipped.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from hemoseg.datasets.importers.core import Seen
from hemoseg.datasets.sources import ANY
from hemoseg.errors import InputError

COLUMNS = {
    "Epidural": "edh",
    "Intraparenchymal": "iph",
    "Intraventricular": "ivh",
    "Subarachnoid": "sah",
    "Subdural": "sdh",
}
"""{column: class}, in the common order."""
NONE = "No_Hemorrhage"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceTable:
    """What was seen, by patient and slice."""

    seen: dict[int, dict[int, tuple[str, ...]]]
    """{patient: {slice number from 1: classes seen}}; an empty tuple is a slice without hemorrhage."""
    warnings: tuple[str, ...]
    """Rows that contradict themselves."""

    def of(self, patient: int, numbers: range) -> Seen | None:
        """What was seen on these slices; None if the table does not have the patient."""
        slices = self.seen.get(patient)
        return None if slices is None else tuple(slices.get(number) for number in numbers)


def read_slice_table(path: Path) -> SliceTable:
    """The table of a file.

    Raises:
        InputError: it is no such table.
    """
    seen: dict[int, dict[int, tuple[str, ...]]] = {}
    warnings = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            for row in csv.DictReader(handle):
                if not (row["PatientNumber"] or "").strip():
                    continue
                patient, number = _whole(row["PatientNumber"]), _whole(row["SliceNumber"])
                kinds = tuple(name for column, name in COLUMNS.items() if _flag(row[column]))
                none = _flag(row[NONE])
                if none and kinds:
                    warnings.append(
                        f"{path.name} calls slice {number} of patient {patient} free of hemorrhage and "
                        f"{', '.join(kinds)}: it counts as hemorrhagic"
                    )
                slices = seen.setdefault(patient, {})
                if number in slices or number < 1:
                    raise ValueError(f"slice {number} of patient {patient} twice, or below 1")
                slices[number] = kinds if kinds or none else (ANY,)
    except OSError as error:
        raise _bad(f"cannot be read: {error.strerror or error}", path) from error
    except (UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise _bad(f"another table ({error!r})", path) from error
    return SliceTable(seen=seen, warnings=tuple(warnings))


def _whole(text: str) -> int:
    number = float(text)
    if not number.is_integer():  # nor is infinity
        raise ValueError(f"{text} is no whole number")
    return int(number)


def _flag(text: str) -> bool:
    number = _whole(text)
    if number not in (0, 1):
        raise ValueError(f"{text} is neither 0 nor 1")
    return bool(number)


def _bad(found: str, path: Path) -> InputError:
    columns = ", ".join(["PatientNumber", "SliceNumber", *COLUMNS, NONE])
    return InputError(
        found,
        where=path,
        expected=f"one row per slice with {columns}; kinds are 0 or 1",
        remedy="download the table again from PhysioNet",
    )
