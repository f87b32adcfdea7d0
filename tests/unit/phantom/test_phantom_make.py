from dataclasses import replace

import numpy as np
import pytest

from hemoseg.errors import GeometryError, InputError
from hemoseg.phantom import TABLE, PhantomSpec, demo_specs, make_phantom
from hemoseg.phantom.bleeds import make_bleed
from hemoseg.phantom.head import draw_anatomy
from hemoseg.segmentation import measure_ml

SMALL = {"shape": (16, 64, 60), "spacing_mm": (9.5, 3.5, 3.5)}
SITES = {"deep": 20.0, "lobar": 15.0, "subdural": 40.0, "intraventricular": 8.0}


def spec_of(site, **changes):
    return PhantomSpec(**({"site": site, "volume_ml": SITES.get(site, 0.0), "seed": 3} | SMALL | changes))


def edge_free(mask):
    """Voxels whose eight neighbors in plane, twice removed, are all in the mask."""
    inner = mask.copy()
    for shift in (-2, -1, 1, 2):
        inner &= np.roll(mask, shift, axis=1) & np.roll(mask, shift, axis=2)
    return inner


@pytest.fixture(scope="module")
def finer():
    """A deep bleed with edema in pixels fine enough to look inside."""
    return make_phantom(
        PhantomSpec(site="deep", volume_ml=45.0, edema_ml=45.0, seed=3, shape=(29, 112, 96), spacing_mm=(5.0, 1.9, 1.9))
    )


def test_head_without_bleed_is_empty():
    phantom = make_phantom(spec_of("none"))
    assert phantom.truth_ml == {"hemorrhage": 0.0, "edema": 0.0}
    assert not phantom.reference.any()
    assert phantom.volume.name == "phantom-none"


@pytest.mark.parametrize("site", SITES)
def test_truth_is_the_volume_asked_for(site):
    phantom = make_phantom(spec_of(site))
    assert phantom.truth_ml == {"hemorrhage": pytest.approx(SITES[site], rel=1e-9), "edema": 0.0}
    assert phantom.volume.name == f"phantom-{site}-{SITES[site]:g}ml"


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_bleed_lies_on_its_side_of_the_patient(site, side, sign):
    """x runs to the patient's left; heads lie up to 4 mm off the middle and are turned by a few degrees."""
    phantom = make_phantom(spec_of(site, side=side))
    center = np.argwhere(phantom.reference == 1).mean(axis=0)
    assert sign * phantom.volume.grid.world(center.tolist())[0] > 8


def test_scan_is_canonical_and_holds_whole_float32_hu():
    volume = make_phantom(spec_of("deep")).volume
    assert volume.grid.shape == SMALL["shape"]
    assert volume.grid.spacing_mm == pytest.approx(SMALL["spacing_mm"])
    assert volume.grid.canonical_orientation().axes == (0, 1, 2)
    assert not any(volume.grid.canonical_orientation().flips)
    assert volume.hu.dtype == np.float32
    np.testing.assert_array_equal(volume.hu, np.rint(volume.hu))
    assert [part.weight_mm for part in volume.slices] == pytest.approx([9.5] * 16)


def test_tissues_have_their_hu(finer):
    hu, reference = finer.volume.hu, finer.reference
    blood = hu[edge_free(reference == 1)]
    assert blood.size > 100
    assert 55 < blood.mean() < 70
    assert hu[reference == 2].mean() == pytest.approx(24, abs=5)
    assert 600 < np.percentile(hu, 95) < 1500
    brain = hu[(hu > 20) & (hu < 45) & (reference == 0)]
    assert 28 < np.median(brain) < 36
    fluid = hu[(hu > -5) & (hu < 16)]
    assert 500 < fluid.size < 0.1 * brain.size + 5000


def test_air_is_minus_1000_with_the_noise_of_the_scanner(finer):
    air = finer.volume.hu[:, 3:11, 3:11]
    assert air.mean() == pytest.approx(-1000, abs=1)
    assert air.std() == pytest.approx(4, abs=0.5)


def test_edema_surrounds_the_blood_and_has_its_own_volume(finer):
    reference = finer.reference
    assert finer.truth_ml == {"hemorrhage": pytest.approx(45), "edema": pytest.approx(45)}
    for number in (1, 2):
        assert measure_ml(reference == number, finer.volume) == pytest.approx(45, rel=0.04)
    beside_blood = np.roll(reference == 1, 1, axis=2) & (reference != 1)
    assert (reference[beside_blood] == 2).all()


def test_same_spec_gives_the_same_bits_and_another_seed_another_head():
    first, again, other = (make_phantom(spec_of("lobar", seed=seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.volume.hu, again.volume.hu)
    np.testing.assert_array_equal(first.reference, again.reference)
    assert (first.volume.hu != other.volume.hu).mean() > 0.5
    assert (first.reference != other.reference).any()


def test_blood_in_a_ventricle_sinks_to_the_back_however_the_head_lies():
    """Down is posterior in the world, (0, 1, 0) in LPS, for a patient on the back."""
    for seed in (1, 2, 3):
        anatomy = draw_anatomy(seed)
        bleed = make_bleed(PhantomSpec(site="intraventricular", volume_ml=3.0, seed=seed), anatomy)
        np.testing.assert_allclose(anatomy.pose.rotation @ bleed.hemorrhage.down, (0, 1, 0), atol=1e-12)


def test_bleed_replaces_tissue_and_leaves_the_rest_of_the_head():
    """Same seed: away from the blood, head and noise are the same with and without it."""
    with_bleed, without = make_phantom(spec_of("deep")), make_phantom(spec_of("none"))
    changed = np.argwhere(with_bleed.volume.hu != without.volume.hu)
    blood = np.argwhere(with_bleed.reference == 1)
    assert np.all(changed.min(axis=0) >= blood.min(axis=0) - 3)
    assert np.all(changed.max(axis=0) <= blood.max(axis=0) + 3)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"site": "none", "volume_ml": 3.0}, "site 'none' with 3 ml"),
        ({"site": "deep", "volume_ml": 0.0}, "site 'deep' with 0 ml"),
        ({"site": "deep", "volume_ml": 0.01}, "0.01 ml of blood"),
        ({"site": "deep", "volume_ml": -1.0}, "a negative or endless number"),
        ({"site": "deep", "volume_ml": float("nan")}, "a negative or endless number"),
        ({"site": "deep", "seed": -1}, "a negative or endless number"),
        ({"site": "deep", "shape": (0, 5, 5)}, "a grid without extent"),
        ({"site": "deep", "spacing_mm": (5.0, 0.0, 1.0)}, "a grid without extent"),
        ({"site": "subdural", "edema_ml": 2.0}, "2 ml of edema at site 'subdural'"),
        ({"site": "deep", "volume_ml": 250.0}, "250 ml of blood and 0 ml of edema do not fit one half of the brain"),
        ({"site": "deep", "edema_ml": 250.0}, "20 ml of blood and 250 ml of edema do not fit"),
        ({"site": "lobar", "volume_ml": 300.0}, "300 ml of blood and 0 ml of edema do not fit"),
        ({"site": "subdural", "volume_ml": 300.0}, "do not fit the subdural space of one side"),
        ({"site": "intraventricular", "volume_ml": 60.0}, "do not fit a lateral ventricle"),
    ],
)
def test_impossible_specs_are_refused_with_what_was_found(changes, found):
    with pytest.raises(InputError) as caught:
        make_phantom(spec_of(**({"site": "deep"} | changes)))
    assert found in caught.value.found
    assert caught.value.remedy == "change the volume, the site or the grid"


def test_grid_that_cuts_the_bleed_is_refused():
    with pytest.raises(GeometryError, match="reaches beyond a grid of 38 x 224 x 210 mm"):
        make_phantom(spec_of("lobar", shape=(4, 64, 60)))


def test_extent_named_in_the_error_holds_every_bleed():
    for site, volume_ml in SITES.items():
        for seed in (1, 2):
            coarse = spec_of(site, volume_ml=volume_ml, seed=seed, shape=(16, 38, 34), spacing_mm=(10.0, 5.0, 5.0))
            assert (make_phantom(coarse).reference == 1).any()


def test_demo_shows_every_site_a_small_bleed_edema_and_a_fine_grid():
    specs = demo_specs()
    assert {spec.site for spec in specs} == {"none", *SITES}
    assert min(spec.volume_ml for spec in specs if spec.volume_ml) == 2
    assert any(spec.edema_ml for spec in specs)
    assert any(spec.shape[1:] == (512, 512) for spec in specs)
    assert len({replace(spec, seed=0) for spec in specs}) == len(specs) == 7


def test_classes_are_those_of_the_shipped_model_and_data():
    assert TABLE.foreground == {"hemorrhage": 1, "edema": 2}


def test_cohort_is_a_raw_data_set_that_indexes(phantom_cohort):
    from hemoseg.datasets import index_dataset
    from hemoseg.io import read_labels

    dataset = index_dataset(phantom_cohort(2))
    assert [case.name for case in dataset.cases] == ["phantom_000", "phantom_001"]
    assert dataset.table == TABLE
    labels, _ = read_labels(dataset.cases[0].label)
    assert set(np.unique(labels)) == {0, 1, 2}
