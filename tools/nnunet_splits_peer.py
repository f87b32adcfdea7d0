"""nnU-Net's own folds: lists of case names as JSON on stdin, its splits_final.json of each on stdout.

Run by the interpreter of .venv-peers; `tools/make_goldens.py` and the differential tests start it.
"""

import json
import sys

import numpy as np
from nnunetv2.utilities.crossval_split import generate_crossval_split


def main() -> None:
    """Answer one request: nnU-Net sorts the names as its trainer does."""
    answer = []
    for names in json.load(sys.stdin):
        splits = generate_crossval_split(list(np.sort(names)))
        answer.append([{side: [str(name) for name in names] for side, names in fold.items()} for fold in splits])
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
