import pytest


@pytest.fixture(scope="session")
def clean(tmp_path_factory, make_cohort):
    """Six phantoms without a defect; not to be written to."""
    return make_cohort(tmp_path_factory.mktemp("clean"), 6)


@pytest.fixture
def root(clean, tmp_path):
    """A copy of them."""
    import shutil

    return shutil.copytree(clean, tmp_path / "set")
