"""Contact sheets: read back as pictures."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from hemoseg.geometry import Orientation
from hemoseg.labels import LabelTable
from hemoseg.report.figures import PALETTE, class_color, montage_png
from report_scans import TABLE, ball, make_head, pixels

HEAD = make_head()
QUIET = replace(HEAD, hu=np.where(HEAD.hu > 500, np.float32(-1000), HEAD.hu))  # no skull: nothing is near white
EMPTY = np.zeros(HEAD.hu.shape, dtype=np.uint8)


def colored(png, number=1):
    """Where a picture has about the color of a class; captions and legend aside."""
    far = np.abs(pixels(png) - np.array(class_color(number), dtype=np.float32)).max(axis=2)
    found = far < 30
    found[:32] = False  # caption of the first row
    found[-32:] = False  # legend
    return found


def one_slice(labels):
    """The picture of a single labeled slice in a scan of three equal ones: context, slice, context."""
    return montage_png(QUIET, labels)


def contour_of(labels, number=1):
    """(rows, columns) of the contour in the middle tile of three, relative to its center, in px."""
    found = colored(one_slice(labels), number)
    width = found.shape[1] // 3
    rows, columns = np.nonzero(found[:, width : 2 * width])
    return rows - (found.shape[0] + 20 - 30) / 2, columns - width / 2


@pytest.mark.parametrize("side", [-1, 1])
def test_the_patients_left_is_on_the_right(side):
    labels = ball(HEAD, (40.0 * side, 0.0, 0.0), 4.5)
    _, columns = contour_of(labels)
    assert columns.size
    assert np.sign(np.median(columns)) == side


@pytest.mark.parametrize("side", [-1, 1])
def test_anterior_is_up(side):
    labels = ball(HEAD, (0.0, 50.0 * side, 0.0), 4.5)
    rows, _ = contour_of(labels)
    assert rows.size
    assert np.sign(np.median(rows)) == side


def test_the_picture_does_not_depend_on_how_axes_run_in_the_file():
    labels = ball(HEAD, (30.0, -20.0, 5.0), 14.0)
    flip = Orientation(axes=(0, 2, 1), flips=(False, True, True))
    turned = replace(HEAD, hu=np.ascontiguousarray(flip.apply(HEAD.hu)), grid=HEAD.grid.reoriented(flip))
    assert montage_png(turned, np.ascontiguousarray(flip.apply(labels))) == montage_png(HEAD, labels)


def test_a_ball_is_round_although_pixels_are_not_square():
    scan = make_head(shape=(9, 96, 40), spacing_mm=(5.0, 2.0, 4.0))
    png = montage_png(scan, ball(scan, (0.0, 0.0, 0.0), 30.0), max_slices=3)
    found = colored(png)
    width = found.shape[1] // 3
    rows, columns = np.nonzero(found[:, width : 2 * width])
    assert np.ptp(rows) > 60
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.08)


@pytest.mark.parametrize(("shape", "pixel_mm"), [((3, 440, 360), 0.45), ((3, 1500, 1250), 0.14)])
def test_a_single_voxel_is_never_lost(shape, pixel_mm):
    """64 voxels, apart, at all phases of the picture's pixels, in matrices coarser and finer than a tile."""
    scan = make_head(shape=shape, spacing_mm=(5.0, pixel_mm, pixel_mm))
    rows, columns = (np.linspace(0.3 * n, 0.7 * n, 8).astype(int) for n in shape[1:])
    labels = np.zeros(shape, dtype=np.uint8)
    labels[1, rows[:, None], columns] = 1
    sheet = pixels(montage_png(scan, labels, max_slices=3))
    orange = (sheet[..., 0] - sheet[..., 2])[32:-32] > 60
    assert ndimage.label(orange, structure=np.ones((3, 3)))[1] == 64


def test_a_contour_leaves_its_inside_visible():
    labels = ball(HEAD, (0.0, 0.0, 0.0), 30.0)
    rows, columns = contour_of(labels)
    assert not np.any((np.abs(rows) < 15) & (np.abs(columns) < 15))
    assert np.abs(columns).max() > 30


def test_without_labels_nothing_is_drawn():
    assert not colored(montage_png(QUIET, EMPTY)).any()


def test_each_class_has_its_color_and_shared_borders_are_the_lower_numbers():
    labels = ball(HEAD, (0.0, 0.0, 0.0), 40.0) * np.uint8(2)
    alone = colored(montage_png(QUIET, labels), 2).sum()
    labels[ball(HEAD, (0.0, 0.0, 0.0), 20.0) == 1] = 1
    png = montage_png(QUIET, labels, table=TABLE)
    assert colored(png, 1).sum() > 100
    assert colored(png, 2).sum() == pytest.approx(alone, rel=0.15)


def test_the_reference_is_dashed_and_white():
    bleed = ball(HEAD, (0.0, 0.0, 0.0), 30.0)
    plain = pixels(montage_png(QUIET, bleed * 0, reference=bleed * 0, table=TABLE))
    assert not (plain[32:-32].min(axis=2) > 240).any()
    sheet = pixels(montage_png(QUIET, EMPTY, reference=bleed, table=TABLE))
    white = (sheet[32:-32].min(axis=2) > 225).sum()
    solid = colored(montage_png(QUIET, bleed, table=TABLE)).sum()
    assert 0.25 * solid < white < 0.75 * solid


def test_the_window_sets_black_and_white():
    def brain(window):
        """Mean gray in the middle of the middle one of three tiles."""
        return pixels(montage_png(HEAD, EMPTY, window=window, max_slices=3))[140:200, 310:390].mean()

    assert brain(("subdural", 0.0, 200.0)) == pytest.approx(255 * 32 / 200, abs=4)
    assert brain(("brain", 0.0, 80.0)) == pytest.approx(255 * 32 / 80, abs=4)
    assert brain(("blood", 40.0, 80.0)) < 8


def test_the_legend_names_window_and_classes():
    """Text cannot be read back from pixels; but each word must change the picture."""
    sheets = {
        montage_png(HEAD, EMPTY, table=TABLE),
        montage_png(HEAD, EMPTY, table=LabelTable(("background", "iph", "edema"))),
        montage_png(HEAD, EMPTY, table=TABLE, window=("stroke", 0.0, 80.0)),
        montage_png(HEAD, EMPTY, table=TABLE, reference=EMPTY),
    }
    assert len(sheets) == 4


def test_a_long_legend_is_broken_into_lines():
    table = LabelTable(("background", "edh", "iph", "ivh", "sah", "sdh", "edema", "hemorrhage"))
    labels = EMPTY.copy()
    labels[4, 24, 20] = 1
    tall, short = (pixels(montage_png(HEAD, labels, table=item, max_slices=3)).shape for item in (table, TABLE))
    assert tall[0] >= short[0]
    assert tall[1] == short[1]


@pytest.mark.parametrize(("count", "columns"), [(3, 3), (5, 3), (6, 3), (7, 4), (8, 4), (9, 3), (12, 4)])
def test_rows_are_filled_as_well_as_they_can_be(count, columns):
    scan = make_head(shape=(24, 48, 40), spacing_mm=(4.0, 4.0, 4.0))
    view = pixels(montage_png(scan, np.zeros(scan.hu.shape, dtype=np.uint8), max_slices=count))
    tile = (view.shape[1] - 10) / columns - 10
    assert 190 <= tile <= 220


def test_colors_are_told_apart_without_red_or_green():
    """Protan and deutan eyes see little more than blue and luminance: every pair differs there."""
    values = np.array(PALETTE, dtype=float)
    luminance = values @ [0.2126, 0.7152, 0.0722]
    for i in range(len(PALETTE)):
        for j in range(i):
            blue = abs(values[i, 2] - values[j, 2])
            assert max(blue, abs(luminance[i] - luminance[j])) > 25, (i, j)
