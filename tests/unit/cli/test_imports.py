"""What a command loads, and how fast help is there."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "scipy", "nibabel", "matplotlib", "PIL", "pydantic")


def loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_loads_nothing_heavy():
    assert loaded("import hemoseg, hemoseg.cli") == set()


@pytest.mark.parametrize(
    "module",
    [
        "io",
        "datasets",
        "evaluation",
        "report",
        "preprocess",
        "planning",
        "models",
        "selection",
        "data",
        "phantom",
        "pipeline",
    ],
)
def test_torch_is_loaded_by_networks_alone(module):
    assert "torch" not in loaded(f"import hemoseg.{module}")
