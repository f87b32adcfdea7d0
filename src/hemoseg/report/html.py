"""Self-contained HTML pages: no script, no network, pictures inside."""

from base64 import b64encode
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


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


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hemoseg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(ml=format_ml, metric=format_metric, data_uri=data_uri)
    return environment
