"""nnU-Net's preprocessed cases as .npy files; runs in .venv-peers: python nnunet_arrays_peer.py FOLDER OUT."""

import sys
from pathlib import Path

import blosc2
import numpy as np

source, out = map(Path, sys.argv[1:3])
out.mkdir(parents=True, exist_ok=True)
for path in sorted(source.glob("*.b2nd")):
    np.save(out / f"{path.stem}.npy", blosc2.open(urlpath=str(path), mode="r")[:])
