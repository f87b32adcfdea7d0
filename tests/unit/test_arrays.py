"""Array types: checked here, plain where nobody looks."""

import subprocess
import sys

import jaxtyping
import numpy as np
import pytest

from hemoseg.arrays import Float32
from hemoseg.windows import one_hot


def test_in_tests_they_are_jaxtypings_and_checked():
    assert Float32 is jaxtyping.Float32
    with pytest.raises(jaxtyping.TypeCheckError):
        one_hot(np.zeros((2, 2), np.uint8), 2)


def test_elsewhere_jaxtyping_is_not_loaded_and_a_type_is_the_arrays_own():
    script = (
        "import sys\n"
        "import numpy as np\n"
        "from hemoseg.types import HU\n"
        "import hemoseg.datasets, hemoseg.preprocess\n"
        "print(HU is np.ndarray, 'jaxtyping' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
