"""Self-contained HTML pages: no network, pictures inside, and no script but those in `templates/`, by their hash."""

import hashlib
from base64 import b64encode
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

UNITS = {"mm": "mm", "ml": "ml", "hu": "HU"}
"""Units at the end of names on disk, as people write them."""
NAMES = {
    "dice": "Dice",
    "rvd": "RVD",
    "hd95": "HD95",
    "lesion_f1": "lesion F1",
    "reference": "reference",
    "volume": "predicted",
}
"""Names on disk that read otherwise."""


def render(template_name: str, **values: object) -> str:
    """A page from a template of this package, like `scan.html.j2`; every value is escaped.

    Args:
        template_name: file name in `templates/`.
        values: what the template names; one it names and does not get is an error.
    """
    return _environment().get_template(template_name).render(**values)


def data_uri(png: bytes) -> str:
    """A picture as the `src` of an `<img>`, inside the page itself."""
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def script(name: str) -> tuple[str, str]:
    """A script of this package, and its source in a Content-Security-Policy, which lets that very text run alone.

    Source:
        W3C, Content Security Policy Level 3, 2.3.1: the hash of an inline script's text.
    """
    text = files("hemoseg.report").joinpath("templates", name).read_text(encoding="utf-8")
    return text, f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def format_ml(value: float) -> str:
    """Milliliters for reading: three figures or so; what is there is never shown as zero.

    Example:
        >>> format_ml(23.456), format_ml(1.234), format_ml(0.002), format_ml(0.0)
        ('23.5', '1.23', '< 0.01', '0')
    """
    if value == 0:
        return "0"
    if value < 0.005:
        return "< 0.01"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def format_metric(value: float | None) -> str:
    """A metric for reading: three decimals, one from ten up; a dash where it is undefined."""
    if value is None:
        return "–"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def format_gain(value: float | None) -> str:
    """A difference for reading: with its sign, four decimals; a dash where it is undefined.

    Example:
        >>> format_gain(0.0021), format_gain(-0.00001), format_gain(None)
        ('+0.0021', '0.0000', '–')
    """
    if value is None:
        return "–"
    return f"{value:+.4f}" if round(value, 4) else "0.0000"


def format_figure(value: float) -> str:
    """A number of any size for reading: four figures.

    Example:
        >>> format_figure(0.48828125), format_figure(31743.0)
        ('0.4883', '31743')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def format_quantity(name: str) -> str:
    """The name of a value on disk for reading, its unit after a comma.

    Example:
        >>> format_quantity("hd95_mm"), format_quantity("nsd_0.42mm"), format_quantity("slice_thickness_mm")
        ('HD95, mm', 'surface Dice at 0.42 mm', 'slice thickness, mm')
    """
    if name.startswith("nsd_") and name.endswith("mm"):
        return f"surface Dice at {name[4:-2]} mm"
    words, _, unit = name.rpartition("_")
    if unit not in UNITS or not words:
        words, unit = name, ""
    text = NAMES.get(words) or words.replace("_", " ")
    return f"{text}, {UNITS[unit]}" if unit else text


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hemoseg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ml=format_ml,
        metric=format_metric,
        gain=format_gain,
        figure=format_figure,
        quantity=format_quantity,
        data_uri=data_uri,
    )
    return environment
