"""Statistics of the mixture, against numpy and against the sampling that they are the limit of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemoseg.datasets import Histogram
from hemoseg.planning.intensity import Mixture, mixture_intensity, pooled_intensity

whole = st.lists(st.integers(-50, 150), min_size=1, max_size=60).map(lambda v: np.array(v, dtype=np.int16))
real = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=60).map(lambda v: np.array(v, dtype=np.float32))
case = whole | real
PERCENTILES = {"percentile_00_5": 0.5, "median": 50.0, "percentile_99_5": 99.5}


@given(voxels=case)
def test_one_case_has_its_population_statistics(voxels) -> None:
    found = mixture_intensity([Histogram.of(voxels)])
    exact = voxels.astype(np.float64)
    assert found.mean == pytest.approx(exact.mean(), abs=1e-9)
    assert found.std == pytest.approx(exact.std(), abs=1e-9)
    assert (found.min, found.max) == (exact.min(), exact.max())
    assert found.median == np.median(exact)
    for name, q in PERCENTILES.items():
        # where two values are averaged, numpy interpolates, which rounds once more than half their sum
        expected = np.percentile(exact, q, method="averaged_inverted_cdf")
        assert getattr(found, name) == pytest.approx(expected, rel=4e-16, abs=0)


def test_the_middle_of_two_voxels_is_half_their_sum() -> None:
    voxels = np.array([4.0, 3.8561063e-14], dtype=np.float32)
    assert mixture_intensity([Histogram.of(voxels)]).median == np.median(voxels.astype(np.float64))


@given(cases=st.lists(case, min_size=1, max_size=4), times=st.integers(2, 5))
def test_voxels_repeated_within_a_case_change_nothing(cases, times: int) -> None:
    once = mixture_intensity([Histogram.of(voxels) for voxels in cases])
    again = mixture_intensity([Histogram.of(np.repeat(voxels, times)) for voxels in cases])
    assert again.model_dump() == pytest.approx(once.model_dump(), rel=1e-12, abs=1e-9)


@given(cases=st.lists(case, min_size=1, max_size=4))
def test_a_data_set_taken_twice_is_the_same(cases) -> None:
    histograms = [Histogram.of(voxels) for voxels in cases]
    once, twice = mixture_intensity(histograms), mixture_intensity(histograms * 2)
    assert twice.model_dump() == pytest.approx(once.model_dump(), rel=1e-12, abs=1e-9)


@given(cases=st.lists(whole, min_size=1, max_size=4))
def test_a_mirrored_distribution_has_mirrored_percentiles(cases) -> None:
    found = mixture_intensity([Histogram.of(voxels) for voxels in cases])
    turned = mixture_intensity([Histogram.of(-voxels) for voxels in cases])
    assert turned.median == -found.median
    assert turned.percentile_00_5 == -found.percentile_99_5


@given(cases=st.lists(case, min_size=1, max_size=4))
def test_percentiles_rise_and_stay_among_the_values(cases) -> None:
    mixture = Mixture(cases=tuple(Histogram.of(voxels) for voxels in cases))
    found = [mixture.percentile(q) for q in (1e-6, 0.1, 0.25, 0.5, 0.75, 0.9, 1 - 1e-6)]
    assert found == sorted(found)
    assert mixture.values[0] <= found[0] <= found[-1] <= mixture.values[-1]


@given(cases=st.lists(case, min_size=1, max_size=4))
def test_version_1_is_numpy_on_every_tenth_voxel(cases) -> None:
    found = pooled_intensity([Histogram.of(voxels) for voxels in cases])
    pooled = np.concatenate([voxels[::10].astype(np.float64) for voxels in cases])
    expected = {name: np.percentile(pooled, q) for name, q in PERCENTILES.items()}
    expected |= {"mean": pooled.mean(), "std": pooled.std(), "min": pooled.min(), "max": pooled.max()}
    assert found.model_dump() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_sampling_as_nnunet_does_comes_to_the_same(seed: int) -> None:
    """Three cases of different size and place; 200,000 draws from each, as nnU-Net draws 1e8 / cases."""
    rng = np.random.default_rng(seed)
    cases = [np.rint(rng.normal(mean, 8, size)).astype(np.int16) for mean, size in ((60, 90), (30, 5000), (45, 700))]
    draws = 200_000
    sample = np.concatenate([np.random.RandomState(1234).choice(voxels, draws) for voxels in cases])
    mixture = Mixture(cases=tuple(Histogram.of(voxels) for voxels in cases))
    found = mixture_intensity(mixture.cases)
    total = len(sample)
    assert abs(sample.mean() - found.mean) < 5 * found.std / np.sqrt(total)
    assert abs(sample.std() - found.std) < 5 * np.sqrt((mixture.moment(4) - found.std**4) / (4 * found.std**2 * total))
    for q in (0.005, 0.5, 0.995):
        error = 5 * np.sqrt(q * (1 - q) / total)
        assert mixture.percentile(q - error) <= np.percentile(sample, 100 * q) <= mixture.percentile(q + error)
