"""Array types that say their axes: `Float32[np.ndarray, "z y x"]`.

They are jaxtyping's wherever they are looked at: by the type checker, and in tests, which load jaxtyping first and
check every call. Else nobody reads them, and each command starts a tenth of a second sooner without it: then an array
type is the plain type of the array.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import (
        Bool,
        Float,
        Float16,
        Float32,
        Float64,
        Int,
        Int16,
        Int64,
        Integer,
        Real,
        Shaped,
        UInt8,
        UInt16,
    )
else:

    class _Unchecked:
        """`_Unchecked()[kind, shape]` is `kind`."""

        def __getitem__(self, item: tuple[type, str]) -> type:
            return item[0]

    Bool = Float = Float16 = Float32 = Float64 = Int = Int16 = Int64 = Integer = Real = Shaped = _Unchecked()
    UInt8 = UInt16 = Bool

__all__ = [
    "Bool",
    "Float",
    "Float16",
    "Float32",
    "Float64",
    "Int",
    "Int16",
    "Int64",
    "Integer",
    "Real",
    "Shaped",
    "UInt8",
    "UInt16",
]
