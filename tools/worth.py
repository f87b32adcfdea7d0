"""What the embedded model's figures are worth: the paragraph that its card and the README have, from the study's rows.

Run: python tools/worth.py [--write]

With `--write` both get it anew, between marks in the README, and the bundle's manifest the card's new hash.
"""

import argparse
import json
import re
import textwrap
from pathlib import Path
from typing import Any

from hemoseg.artifacts import sha256_of, write_json, write_text
from hemoseg.evaluation.statistics import bootstrap_mean
from hemoseg.models import embedded_folder

ROOT = Path(__file__).parents[1]
ROWS = ROOT / "benchmarks" / "results" / "study"
BEGIN, END = "<!-- worth:begin -->", "<!-- worth:end -->"
HEAD = "**What the figures are worth.**"
SECONDS = "wall_s_of_the_last_part"
"""Key of a row's wall time."""
WIDTH = 145
"""Characters of a line of the README."""
CLASSES = ("hemorrhage", "edema")


def worth() -> str:
    """The paragraph, without a heading."""
    rules = [case for row in _rows("rule-fold-*") for case in row["cases"]]
    rule = [bootstrap_mean([case[name]["dice"] for case in rules], seed=0) for name in CLASSES]
    ours, peers = _rows("cv-fold-0")[0], _rows("nnunet-*-fold-0")
    best, minutes = max(peers, key=lambda row: sum(_dice(row, name) for name in CLASSES)), ours[SECONDS] / 60
    return (
        "A threshold rule without learning, tuned on each fold's training scans, has Dice "
        + " and ".join(
            f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f}) for {name}"
            for one, name in zip(rule, CLASSES, strict=True)
        )
        + f" on the {len(rules)} held-out scans: of hemorrhage the networks know hardly more than the rule behind its "
        f"labels. nnU-Net, given as many steps of the first fold as 25 minutes of two cores allow, has "
        f"{_both(best)} on its {len(best['cases'])} scans with the best of {len(peers)} plans; a network made as "
        f"the shipped one was has {_both(ours)} there after {minutes:.0f} minutes with prediction (one training of "
        "each, `python benchmarks/study.py --tables`)."
    )


def renewed_card(card: str) -> str:
    """The card with its paragraph anew."""
    return re.sub(rf"^{re.escape(HEAD)}.*$", lambda _: f"{HEAD} {worth()}", card, count=1, flags=re.MULTILINE)


def renewed_page(page: str) -> str:
    """The README with its paragraph anew."""
    block = textwrap.fill(worth(), WIDTH, break_on_hyphens=False)
    return re.sub(rf"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{block}\n{END}", page, count=1, flags=re.DOTALL)


def _rows(pattern: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(ROWS.glob(f"{pattern}.json"))]


def _dice(row: dict[str, Any], name: str) -> float:
    value: float = row["mean"][name]["dice"]["value"]
    return value


def _both(row: dict[str, Any]) -> str:
    return " and ".join(f"{_dice(row, name):.2f}" for name in CLASSES)


def main() -> None:
    """Print the paragraph; renew it where it stands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="renew README and card")
    options = parser.parse_args()
    print(worth())
    if not options.write:
        return
    readme, folder = ROOT / "README.md", embedded_folder() / "phe-sich-3d"
    write_text(readme, renewed_page(readme.read_text(encoding="utf-8")))
    card, manifest = folder / "card.md", folder / "manifest.json"
    write_text(card, renewed_card(card.read_text(encoding="utf-8")))
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["files"]["card.md"] = sha256_of(card)
    write_json(manifest, content)


if __name__ == "__main__":
    main()
