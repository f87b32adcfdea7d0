"""Contact sheets: axial slices in a named window, with contours. Pillow and NumPy only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from math import ceil

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from hemoseg.arrays import Float, UInt8
from hemoseg.geometry import Volume
from hemoseg.labels import LabelTable
from hemoseg.report.slices import AxialView, view_axially
from hemoseg.types import LabelMap

BRAIN_WINDOW = ("brain", 0.0, 80.0)
"""Name, HU shown black and HU shown white: the usual window for brain and acute blood."""

TILE_PX = (280, 220)
"""A tile fits into this height and width: four beside each other fill a page."""
GAP_PX = 10
"""Space between tiles."""
CAPTION_PX = 20
"""Strip above a tile for its caption, and height of a line of the legend."""
FINE = 3
"""Contours are drawn at least this many times finer, then averaged: smooth lines without jags. Finer still
where a tile so enlarged had fewer pixels than the scan: a voxel would fall between two samples."""
LINE_FINE_PX = 4
"""Width of a contour before averaging; 1.3 px after."""
DASH_FINE_PX = 18
"""Length of a dash of the reference's contour before averaging."""

Color = tuple[int, int, int]
BACKGROUND: Color = (13, 15, 18)
TEXT: Color = (214, 219, 226)
REFERENCE: Color = (255, 255, 255)
PALETTE: tuple[Color, ...] = (
    (255, 159, 28),
    (86, 180, 233),
    (240, 228, 66),
    (221, 130, 190),
    (46, 204, 150),
    (255, 105, 70),
    (130, 120, 255),
)
"""One color per class, distinct also without red or green: Okabe and Ito's, lightened for gray on black.
Okabe and Ito, Color universal design (2008), jfly.uni-koeln.de/color."""

Fine = UInt8[np.ndarray, "y x"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where tiles lie on the sheet."""

    columns: int
    """Tiles side by side."""
    tile: tuple[int, int]
    """Height and width of a tile in px."""
    count: int
    """Tiles in all."""

    @property
    def width(self) -> int:
        """Width of the sheet in px; room for the legend even under one small tile."""
        return max(320, self.columns * (self.tile[1] + GAP_PX) + GAP_PX)

    @property
    def height(self) -> int:
        """Height of all tiles with their captions, in px."""
        return ceil(self.count / self.columns) * (self.tile[0] + CAPTION_PX + GAP_PX) + GAP_PX

    def corner(self, number: int) -> tuple[int, int]:
        """Left and top of a tile's caption in px."""
        row, column = divmod(number, self.columns)
        return (
            GAP_PX + column * (self.tile[1] + GAP_PX),
            GAP_PX + row * (self.tile[0] + CAPTION_PX + GAP_PX),
        )


def montage_png(
    volume: Volume,
    labels: LabelMap,
    *,
    reference: LabelMap | None = None,
    window: tuple[str, float, float] = BRAIN_WINDOW,
    table: LabelTable | None = None,
    max_slices: int = 12,
    slices: Sequence[int] = (),
) -> bytes:
    """A contact sheet of axial slices with the contours of each class, as PNG.

    Slices lie as radiologists look at them: anterior up, the patient's left on the right. A contour runs
    just outside its class, so that what it encloses stays visible.

    Args:
        volume: the scan, in any axis order.
        labels: class numbers, axes (z, y, x) as `volume.hu`.
        reference: the reference's class numbers on the same grid, drawn dashed; None if there is none.
        window: name, HU shown black and HU shown white; all three are printed on the sheet.
        table: class names for captions and legend; None calls them by their numbers.
        max_slices: slices on the sheet, at least 3.
        slices: the slices to show, by their numbers as stored; none for a choice of them.

    Returns:
        The labeled slices and one on either side of them, thinned evenly; without labels, slices evenly
        spread over the head.

    Raises:
        GeometryError: a label map of another shape than the scan.
    """
    assert max_slices >= 3, "a lesion needs a slice, and one on either side"
    view = view_axially(volume, labels, reference)
    chosen = view.find(slices)[:max_slices] if slices else view.choose(max_slices)
    layout = _lay_out(view, len(chosen))
    names = _class_names(view, table)
    legend = list(_legend_lines(names, reference is not None, window, layout.width))
    sheet = Image.new("RGB", (layout.width, layout.height + len(legend) * CAPTION_PX + GAP_PX), BACKGROUND)
    for number, index in enumerate(chosen):
        _draw_tile(sheet, layout, number, view, index, names=names, window=window)
    _draw_legend(sheet, layout.height, legend)
    buffer = BytesIO()
    sheet.save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()


def class_color(number: int) -> Color:
    """The color of a class number; it repeats after seven classes."""
    return PALETTE[(number - 1) % len(PALETTE)]


def _lay_out(view: AxialView, count: int) -> Layout:
    height_mm, width_mm = (n * mm for n, mm in zip(view.hu.shape[1:], view.pixel_mm, strict=True))
    scale = min(TILE_PX[0] / height_mm, TILE_PX[1] / width_mm)
    tile = (max(1, round(height_mm * scale)), max(1, round(width_mm * scale)))
    columns = count if count <= 4 else min((4, 3), key=lambda n: -count % n)
    return Layout(columns=columns, tile=tile, count=count)


def _class_names(view: AxialView, table: LabelTable | None) -> dict[int, str]:
    """{number: name} of the classes in the legend: those of the table, or those that occur."""
    if table is not None:
        return table.legend
    maps = [view.labels] if view.reference is None else [view.labels, view.reference]
    found = sorted({int(number) for item in maps for number in np.unique(item)} - {0})
    return {number: f"class {number}" for number in found}


def _draw_tile(
    sheet: Image.Image,
    layout: Layout,
    number: int,
    view: AxialView,
    index: int,
    *,
    names: dict[int, str],
    window: tuple[str, float, float],
) -> None:
    left, top = layout.corner(number)
    pixels = _gray(view.hu[index], window, layout.tile)
    for contour, color in _contours(view, index, names, layout.tile):
        pixels += contour[..., None] * (np.array(color, dtype=np.float32) - pixels)
    tile = Image.fromarray(np.rint(pixels).astype(np.uint8))
    sheet.paste(tile, (left, top + CAPTION_PX))
    pen = ImageDraw.Draw(sheet)
    pen.text((left, top + 2), view.captions[index], fill=TEXT, font=_font(14))
    _write_classes(pen, (left + layout.tile[1], top + 3), view.labels[index], names)
    middle = top + CAPTION_PX + layout.tile[0] // 2
    pen.text((left + 3, middle), "R", fill=TEXT, font=_font(12), anchor="lm")
    pen.text((left + layout.tile[1] - 3, middle), "L", fill=TEXT, font=_font(12), anchor="rm")


def _gray(
    hu: Float[np.ndarray, "y x"], window: tuple[str, float, float], tile: tuple[int, int]
) -> Float[np.ndarray, "h w 3"]:
    """One slice in the window, resized to the tile: values 0..255."""
    _, low_hu, high_hu = window
    shown = np.clip((hu - low_hu) * (255 / (high_hu - low_hu)), 0, 255).astype(np.uint8)
    resized = Image.fromarray(shown).resize((tile[1], tile[0]), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(resized, dtype=np.float32)[..., None], 3, axis=2)


def _contours(
    view: AxialView, index: int, names: dict[int, str], tile: tuple[int, int]
) -> Iterator[tuple[Float[np.ndarray, "h w"], Color]]:
    """Opacity in [0, 1] and color of each contour of one slice; the reference's last, on top."""
    for contour, number in _outlines(view.labels[index], names, tile):
        yield _coarsen(contour, tile), class_color(number)
    if view.reference is not None:
        for contour, _ in _outlines(view.reference[index], names, tile):
            rows, columns = np.ogrid[: contour.shape[0], : contour.shape[1]]
            # twice the rows: lines at 45 degrees, frequent on pixel masks, get dashes too
            dashes = ((2 * rows + columns) // DASH_FINE_PX) % 2 == 0
            yield _coarsen(np.where(dashes, contour, np.uint8(0)), tile), REFERENCE


def _outlines(
    labels: UInt8[np.ndarray, "y x"], names: dict[int, str], tile: tuple[int, int]
) -> Iterator[tuple[Fine, int]]:
    """The outline of each class present, 0 or 255, and its number.

    A border between two classes is drawn once, in the color of the lower number.
    """
    fine = max(FINE, *(ceil(n / px) for n, px in zip(labels.shape, tile, strict=True)))
    size = (tile[1] * fine, tile[0] * fine)
    drawn = np.zeros((size[1], size[0]), dtype=bool)
    for number in names:
        mask = labels == number
        if not mask.any():
            continue
        smooth = Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).resize(size, Image.Resampling.BILINEAR)
        # a quarter of 255, not half: it is the least that a voxel between four samples leaves on one of them
        inside = smooth.point([255 * (value >= 63) for value in range(256)])
        outside = inside.filter(ImageFilter.BoxBlur(LINE_FINE_PX))  # above 0 up to this far: a fast dilation
        inner = np.asarray(inside) > 0
        outline = (np.asarray(outside) > 0) & ~inner & ~drawn
        drawn |= inner
        yield outline.astype(np.uint8) * np.uint8(255), number


def _coarsen(contour: Fine, tile: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """A contour averaged down to the tile: its opacity."""
    reduced = Image.fromarray(contour).reduce(contour.shape[0] // tile[0])
    return np.asarray(reduced, dtype=np.float32) / np.float32(255)


def _write_classes(
    pen: ImageDraw.ImageDraw, right_top: tuple[int, int], labels: UInt8[np.ndarray, "y x"], names: dict[int, str]
) -> None:
    """The names of the classes on a slice, right-aligned over its tile: the picture reads without color."""
    right, top = right_top
    for number in reversed([number for number in names if (labels == number).any()]):
        pen.text((right, top), names[number], fill=class_color(number), font=_font(12), anchor="ra")
        right -= ceil(pen.textlength(names[number], font=_font(12))) + 7


LegendItem = tuple[str, Color | None, bool]
"""Text, color of its line sample (None: no sample), whether the sample is dashed."""


def _legend_lines(
    names: dict[int, str], has_reference: bool, window: tuple[str, float, float], width: int
) -> Iterator[list[tuple[int, LegendItem]]]:
    """Lines of (left in px, item), broken at the width of the sheet."""
    items: list[LegendItem] = [(name, class_color(number), False) for number, name in names.items()]
    if has_reference:
        items.append(("reference", REFERENCE, True))
    items.append((f"{window[0]} window {window[1]:g} to {window[2]:g} HU", None, False))
    line: list[tuple[int, LegendItem]] = []
    left = GAP_PX
    for item in items:
        length = ceil(_font(14).getlength(item[0])) + (30 if item[1] else 0)
        if line and left + length > width - GAP_PX:
            yield line
            line, left = [], GAP_PX
        line.append((left, item))
        left += length + 24
    yield line


def _draw_legend(sheet: Image.Image, top: int, lines: list[list[tuple[int, LegendItem]]]) -> None:
    pen = ImageDraw.Draw(sheet)
    for row, line in enumerate(lines):
        middle = top + row * CAPTION_PX + CAPTION_PX // 2
        for left, (text, color, dashed) in line:
            if color:
                for start, end in ((0, 5), (9, 14), (18, 22)) if dashed else ((0, 22),):
                    pen.line((left + start, middle, left + end, middle), fill=color, width=3)
            pen.text((left + (30 if color else 0), middle), text, fill=TEXT, font=_font(14), anchor="lm")


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size_px)
