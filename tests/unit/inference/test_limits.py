"""Memory and time that a segmentation may take."""

import mmap
import os
import re
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from bundles import write_tiny_bundle
from hemoseg.errors import ResourceError, SettingsError
from hemoseg.geometry import Orientation
from hemoseg.inference import Limits, load_model
from hemoseg.inference.blend import sums_bytes
from hemoseg.inference.effort import Effort, effort_within, fit_effort, late_words, lesser_efforts
from hemoseg.inference.field import whole_field
from hemoseg.inference.findings import NO_EXTRAS, Extras
from hemoseg.inference.foresight import Asked, foreseen_bytes, needs_of
from hemoseg.inference.limits import NO_LIMITS, Room, choose_room, resident_bytes
from hemoseg.inference.predictor import Model, Stage
from hemoseg.inference.sliding import Outside, stream_logits
from hemoseg.pipeline.batch.sources import Scan
from hemoseg.pipeline.batch.work import check_reading
from hemoseg.preprocess import prepare
from hemoseg.segmentation import ModelIdentity
from plans import head_volume, tiny_configuration, tiny_plan

TURNED = Orientation(axes=(2, 0, 1), flips=(False, False, False))
NOBODY = ModelIdentity(name="none", version="0", sha256="", notice="")


class Ticking:
    """A clock that only networks move: each pass of a tile takes so many seconds."""

    def __init__(self, pass_s):
        self.now, self.pass_s, self.passes = 100.0, pass_s, 0

    def __call__(self):
        return self.now

    def network(self, batch):
        """Three classes, the second wins where the first channel is large."""
        self.now += self.pass_s * len(batch)
        self.passes += len(batch)
        logits = np.zeros((len(batch), 3, *batch.shape[2:]), dtype=np.float32)
        logits[:, 1] = batch[:, 0]
        return logits


def timed(clock, limits=NO_LIMITS, *, folds=3, axes=(0, 1, 2), extras=NO_EXTRAS):
    """A model whose networks move the clock; patches of (8, 64, 64), so that tiles are run one by one."""
    configuration = tiny_configuration(patch_size=(8, 64, 64), mirror_axes=axes)
    plan = tiny_plan(configuration)
    stage = Stage(configuration=configuration, networks=(clock.network,) * folds)
    return Model(plan, (stage,), NOBODY, mirror=True, extras=extras, limits=limits, clock=clock)


VOLUME = head_volume((20, 90, 84))
"""A head of three times four tiles at half their length apart."""


@pytest.fixture(scope="module")
def tiles():
    """Tiles of the head, counted by a run of one fold without mirroring."""
    clock = Ticking(1.0)
    timed(clock, folds=1, axes=()).segment(VOLUME)
    return clock.passes


def test_without_a_budget_all_is_done(tiles):
    clock = Ticking(1.0)
    found = timed(clock).segment(VOLUME)
    assert tiles > 3
    assert clock.passes == tiles * 3 * 8
    assert not found.warnings


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (1.2, None),
        (0.6, "with 4 of 8 mirrorings"),
        (0.3, "with 2 of 8 mirrorings"),
        (0.15, "with 1 of 8 mirrorings"),
    ],
)
def test_what_fits_is_done_and_what_not_is_told(tiles, share, words):
    """A share of the time that all takes, at a second a pass."""
    clock, budget_s = Ticking(1.0), share * tiles * 24 + 1
    found = timed(clock, Limits(time_budget_s=budget_s)).segment(VOLUME)
    assert clock.now - 100 <= budget_s
    assert clock.passes > 0.4 * budget_s, "what fits is not thrown away"
    assert [words in warning for warning in found.warnings] == ([] if words is None else [True])
    assert all(f"to keep to {budget_s:g} s" in warning for warning in found.warnings)
    assert found.labels.any()


def test_the_least_is_done_in_any_case_and_said_to_be_too_much():
    clock = Ticking(10.0)
    found = timed(clock, Limits(time_budget_s=5.0)).segment(VOLUME)
    dropped, foreseen, late = found.warnings
    assert dropped.endswith(
        "3d_fullres was run with 1 of 8 mirrorings, tiles 1 of their length apart in place of 0.5 and 1 of 3 folds"
    )
    assert foreseen == f"3d_fullres was foreseen to take {clock.now - 110:.0f} s, with 0 s left"
    assert late == f"it took {clock.now - 100:.0f} s, with a time budget of 5 s"
    assert found.labels.any()


def test_a_low_vote_of_too_few_is_not_taken_and_told():
    model = timed(Ticking(10.0), Limits(time_budget_s=5.0), extras=Extras(low_vote=True))
    found = model.segment(VOLUME)
    assert found.warnings[-2] == "no low vote: the time budget left 1 of its members, and 4 are needed"


def test_times_under_a_second_are_not_told_as_none():
    found = timed(Ticking(0.1), Limits(time_budget_s=0.2)).segment(VOLUME)
    assert re.search(r"was foreseen to take \d+\.\d+ s, with 0\.07 s left", found.warnings[-2]), found.warnings


def test_stages_share_what_is_left():
    """Two configurations that are averaged: the first gets half, the second all that is left then."""
    clock = Ticking(1.0)
    fine = tiny_configuration(patch_size=(8, 64, 64), mirror_axes=(0, 1, 2))
    coarse = fine.model_copy(update={"name": "3d_lowres", "mirror_axes": ()})
    stages = tuple(Stage(configuration=item, networks=(clock.network,)) for item in (coarse, fine))
    names = ("3d_lowres", "3d_fullres")
    every = Model(tiny_plan(coarse, fine), stages, NOBODY, mirror=True, averaged=names, clock=clock)
    every.segment(VOLUME)
    budget_s = clock.now - 100 + 25
    clock.now = 100.0
    limited = Model(
        every.plan, stages, NOBODY, mirror=True, averaged=names, limits=Limits(time_budget_s=budget_s), clock=clock
    )
    assert not limited.segment(VOLUME).warnings
    assert clock.now - 100 <= budget_s


def test_efforts_never_grow():
    efforts = list(lesser_efforts(Effort(folds=5, mirror_axes=(0, 1, 2))))
    costs = [effort.passes / effort.step**3 for effort in efforts]
    assert costs == sorted(costs, reverse=True)
    assert efforts[-1] == Effort(folds=1, mirror_axes=(), step=1.0)
    found, foreseen_s = fit_effort(efforts[0], pass_s=1.0, left_s=100.0, count_tiles=lambda step: round(8 / step))
    assert (found, foreseen_s) == (Effort(folds=5, mirror_axes=(), step=0.5), 80.0)


def test_the_way_back_of_a_large_scan_takes_its_share_of_the_budget():
    """Eight passes of a second fit into nine tenths of ten, and four beside a way back of six."""
    full, passes = Effort(folds=1, mirror_axes=(0, 1, 2)), []
    for back_s in (0.1, 6.0):
        effort, warnings = effort_within(
            full,
            budget_s=10.0,
            left_s=11.0,
            back_s=back_s,
            one_pass=lambda: None,
            clock=iter([0.0, 1.0]).__next__,
            count_tiles=lambda _step: 1,
            name="3d",
        )
        passes.append(effort.passes)
        assert len(warnings) == (effort.passes < 8)
    assert passes == [8, 4]


def test_what_it_took_is_told_where_it_was_too_long():
    assert late_words(None, 9.0) is None
    assert late_words(3.0, 3.0) is None
    assert late_words(3.0, 90.0) == "it took 90 s, with a time budget of 3 s"


def test_clocks_are_looked_at_on_the_way_back_too():
    told = []
    timed(Ticking(1.0), folds=1, axes=()).segment(VOLUME, watch=lambda done, total: told.append((done, total)))
    done, total = told[-1]
    assert done == total
    assert told.count((total, total)) > 2, "some planes are given back after the last tile"


def test_a_budget_and_exactness_contradict_each_other(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny")
    with pytest.raises(SettingsError, match="together with --time-budget"):
        load_model(folder, exact=True, limits=Limits(time_budget_s=3.0))


def test_files_stand_in_for_memory_only_where_it_is_short():
    held = 50e9
    assert not choose_room(Limits(), scan="head", sums=10**12, at_once=10**12, others=0).mapped
    assert not choose_room(Limits(max_memory_gb=held / 1e9), scan="head", sums=10**9, at_once=10**6, others=0).mapped
    assert choose_room(Limits(max_memory_gb=held / 1e9), scan="head", sums=10**11, at_once=10**6, others=0).mapped
    with pytest.raises(ResourceError, match=r"^head: at least 6\d\.\d+ GB are needed .* 50 GB are allowed"):
        choose_room(Limits(max_memory_gb=held / 1e9), scan="head", sums=10**11, at_once=10**6, others=60 * 10**9)


def test_what_was_taken_already_counts():
    with pytest.raises(ResourceError, match=r"^head: .* were taken, and 0\.01 GB"):
        choose_room(Limits(max_memory_gb=0.01), scan="head", sums=0, at_once=0, others=0)


@pytest.mark.parametrize("half", [False, True])
def test_sums_in_files_are_the_same_to_the_bit(half, rng, tmp_path):
    channels = rng.standard_normal((2, 13, 20, 20)).astype(np.float32)
    found = []
    for room in (Room(mapped=False), Room(mapped=True, scratch=tmp_path / "not" / "there")):
        slices = stream_logits(
            channels,
            [lambda batch: batch * 3, lambda batch: batch + 1],
            field=whole_field((13, 20, 20), (4, 8, 8)),
            blank=np.zeros(2, dtype=np.float32),
            mirror_axes=(1,),
            outside=Outside(values=(0.0, 0.0)),
            half=half,
            watch=lambda done, total: None,
            room=room,
        )
        found.append(np.concatenate([one.copy() for one in slices], axis=1))
    assert np.array_equal(*found)
    assert not list((tmp_path / "not" / "there").iterdir()), "files have no names"


def test_a_disk_without_room_is_a_failed_resource(tmp_path):
    with pytest.raises(ResourceError, match="do not fit"):
        Room(mapped=True, scratch=tmp_path).zeros((1 << 50,), np.float32)


def test_bytes_of_sums_are_those_of_their_arrays():
    field = whole_field((30, 20, 20), (4, 8, 8))
    every, at_once = sums_bytes(field, outputs=5, groups=1, half=False)
    assert every == 6 * 4 * 20 * 20 * 4
    assert at_once == 2 * 4 * 20 * 20 * 4
    assert sums_bytes(field, outputs=5, groups=2, half=True)[0] == 11 * 4 * 20 * 20 * 2


def test_scans_within_the_limit_are_segmented_as_without(tmp_path):
    folder, volume = write_tiny_bundle(tmp_path / "tiny"), head_volume()
    plenty = load_model(folder, limits=Limits(max_memory_gb=1000.0))
    assert np.array_equal(plenty.segment(volume).labels, load_model(folder).segment(volume).labels)
    with pytest.raises(ResourceError, match=r"0\.001 GB are allowed"):
        load_model(folder, limits=replace(plenty.limits, max_memory_gb=0.001)).segment(volume)


def test_what_a_scan_takes_is_foreseen_from_its_size(tmp_path):
    """More than its parts: sums of all tiles, what networks see, and the label map."""
    folder, volume = write_tiny_bundle(tmp_path / "tiny"), head_volume()
    plan = load_model(folder).plan
    asked = Asked(folds=1, more=0, half=False, with_shares=True)
    (configuration,) = plan.configurations
    foreseen = foreseen_bytes(plan, configuration, volume, asked)
    field = whole_field(prepare(volume, plan.preparation, configuration.spacing_mm).shape, configuration.patch_size)
    least = needs_of(plan, configuration, field, volume.grid.shape, asked)
    seen = 4 * plan.input_channels(configuration) * volume.hu.size
    assert least.sums + least.others + seen < foreseen < 2 * (least.sums + least.others + seen)
    turned = replace(volume, hu=volume.hu.transpose(2, 0, 1), grid=volume.grid.reoriented(TURNED))
    assert foreseen_bytes(plan, configuration, turned, asked) == foreseen, "in any order of axes"


def test_what_a_scan_took_does_not_count_for_the_next(tmp_path):
    """A gigabyte is taken where half of one is allowed; the next needs little."""
    allowed = Limits(max_memory_gb=resident_bytes() / 1e9 + 0.5)
    model = load_model(write_tiny_bundle(tmp_path / "tiny"), limits=allowed)
    with mmap.mmap(-1, 10**9) as taken:  # not the heap, which training in the same process tells to keep all it got
        np.frombuffer(taken, dtype=np.uint8)[:: mmap.PAGESIZE] = 1
        assert resident_bytes() > 1e9 * allowed.max_memory_gb
    with pytest.raises(ResourceError, match="were taken"):
        model.segment(head_volume())
    assert model.segment(head_volume()).labels.any()


def test_a_scan_is_refused_by_its_header_before_it_takes_memory(tmp_path):
    """250 million voxels that are not there: 0.5 GB as stored, and twice that in float32."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((1000, 1000, 250))
    header.set_data_dtype(np.int16)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header["pixdim"][1:4] = 1
    header.set_sform(np.eye(4), code=1)
    path = tmp_path / "large.nii"
    path.write_bytes(header.binaryblock + bytes(4))
    os.truncate(path, 352 + 2 * 250 * 10**6)
    scan = Scan(path=path, name="large")
    allowed = Limits(max_memory_gb=resident_bytes() / 1e9 + 0.9)
    model = load_model(write_tiny_bundle(tmp_path / "tiny"), limits=allowed)
    with pytest.raises(
        ResourceError, match=r"^large: at least \d+\.\d+ GB are needed to read the scan, and"
    ) as refused:
        check_reading(model, scan)
    needed_gb = float(str(refused.value).split()[3])
    assert needed_gb - model.held / 1e9 == pytest.approx(1.5, abs=0.006)
    check_reading(load_model(tmp_path / "tiny"), scan)
    path.write_bytes(b"no scan")
    check_reading(model, scan)


def test_a_scan_beside_another_counts(tmp_path):
    folder, volume = write_tiny_bundle(tmp_path / "tiny"), head_volume()
    assert load_model(folder).has_room_beside(volume, 10**15)
    limited = load_model(folder, limits=Limits(max_memory_gb=50.0))
    assert limited.has_room_beside(volume, 10**9)
    assert not limited.has_room_beside(volume, 50 * 10**9)
