"""What documentation and source text must keep to: links that lead somewhere, one spelling, no private paths."""

import re
from pathlib import Path

import pytest
from pages import ROOT, all_pages

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in all_pages()]
SOURCES = [
    path
    for folder in ("src", "tests", "benchmarks", "docs", "changes")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".md", ".j2", ".txt", ".toml"} and path != Path(__file__)
]
TEXTS = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml", *SOURCES]
BRITISH = re.compile(
    r"haem|oedem|colour|behaviour|favour|fibre|centre|litre|millimetre|labelled\b|\bgrey|catalogue|artefact|\blicence|"
    r"(normal|optim|organ|recogn|initial|minim|maxim|summar|visual|regular|general|real)is(e|ed|es|ing|ation)\b",
    flags=re.IGNORECASE,
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(root|home|work|Users|mnt)/")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def heading_anchor(heading: str) -> str:
    """What a heading is linked by: lower case, punctuation dropped, blanks to hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings."""
    return {heading_anchor(text) for text in re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)}


def broken_links(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    broken = []
    for link in LINK.findall(page.read_text()):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_resolve(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One head\n[a](#one-head) [b](page.md#two) [c](gone.md) [d](https://example.org) [e](page.md)\n")
    assert broken_links(page) == ["page.md#two", "gone.md"]


def found_in(pattern: re.Pattern[str], text: str) -> list[str]:
    """Each place of a text where a pattern is found, with its line number."""
    lines = enumerate(text.splitlines(), start=1)
    return [f"{number}: {found[0]}" for number, line in lines for found in pattern.finditer(line)]


def test_spelling_is_american() -> None:
    found = {str(path.relative_to(ROOT)): found_in(BRITISH, path.read_text()) for path in TEXTS}
    assert {path: places for path, places in found.items() if places} == {}


def test_no_text_names_a_path_of_one_machine() -> None:
    found = {str(path.relative_to(ROOT)): found_in(MACHINE_PATH, path.read_text()) for path in TEXTS}
    assert {path: places for path, places in found.items() if places} == {}


def test_the_patterns_find_what_they_are_for() -> None:
    assert found_in(BRITISH, "a\nthe colour of a normalised haematoma") == ["2: colour", "2: normalised", "2: haem"]
    assert found_in(BRITISH, "LICENSE, precise, raises, minimum, color") == []
    assert found_in(MACHINE_PATH, "see /home/someone/x and docs/work/y") == ["1: /home/"]
