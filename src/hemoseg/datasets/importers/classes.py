"""One order of classes for all data sets, and what each source calls them."""

from collections.abc import Iterable

from hemoseg.datasets.sources import ANY
from hemoseg.labels import IGNORE

KINDS = ("edh", "iph", "ivh", "sah", "sdh")
"""The five kinds of intracranial bleeding, in BHSD's order; together they are all blood."""
HEMORRHAGE = "hemorrhage"
"""Blood without its kind."""
ORDER = (HEMORRHAGE, *KINDS, "edema")
"""Order of class numbers in every data set that is imported or merged; other classes follow by name."""
RESERVED = frozenset({"background", IGNORE})
"""Names that dataset.json has for what is no class."""

_NAMES = {
    "any": HEMORRHAGE,
    "bleeding": HEMORRHAGE,
    "blood": HEMORRHAGE,
    "ich": HEMORRHAGE,
    "intracranial": HEMORRHAGE,
    "epidural": "edh",
    "extradural": "edh",
    "intraparenchymal": "iph",
    "intraventricular": "ivh",
    "subarachnoid": "sah",
    "subdural": "sdh",
    "perihematomal edema": "edema",
    "phe": "edema",
}


def class_named(text: str) -> str:
    """The key of a class by whatever name a source gives it; an unknown name stays as it is.

    Example:
        >>> class_named("Epidural_Hemorrhage"), class_named("ICH"), class_named("skull")
        ('edh', 'hemorrhage', 'skull')
    """
    plain = " ".join(text.lower().replace("_", " ").split())
    short = plain.removesuffix(" hemorrhage").removesuffix(" hematoma")
    return _NAMES.get(plain, _NAMES.get(short, plain if plain in ORDER else text.strip()))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Foreground classes in the common order, each once."""
    found = set(names)
    return (*(name for name in ORDER if name in found), *sorted(found - set(ORDER)))


def numbering(table: dict[int, str], classes: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """(source's number, new number) of each class of a source's table; 0 stays background.

    Args:
        table: {number in the source: key of the class}.
        classes: the new data set's foreground classes.
    """
    return ((0, 0), *((number, classes.index(name) + 1) for number, name in sorted(table.items())))


def annotated(classes: Iterable[str]) -> tuple[str, ...]:
    """What a mask with these classes annotates: `hemorrhage` stands for any blood."""
    return tuple(ANY if name == HEMORRHAGE else name for name in classes)


def marks_all_blood(annotates: Iterable[str]) -> bool:
    """Whether every bleeding voxel is marked in a mask that annotates these classes."""
    marked = set(annotates)
    return ANY in marked or marked.issuperset(KINDS)
