"""Networks and mirrored copies of what they see as one network, which also tells how far they agree."""

from collections.abc import Sequence
from math import log2
from typing import Literal

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.inference.sliding import Network, mirror_sets
from hemoseg.labels import LabelTable

Average = Literal["logits", "probabilities"]
"""What is averaged over folds and mirrored copies: logits, as nnU-Net v2 does, or probabilities, as its first version
did."""
MORE = 2
"""Channels after those of the classes: disagreement, and the share of votes for blood."""
LEAST = 1e-7
"""Probabilities below this are this, so that they have logarithms."""


class Panel:
    """Takes patches to the logits of the average, and to two channels more.

    *Disagreement* is the entropy of the mean probabilities less the mean of the members' entropies, which is 0 where
    all say the same, however unsure they are; 1 is the largest entropy that there can be. *Votes* is the share of
    members whose likeliest class is blood.

    Source:
        Houlsby et al., arXiv 1112.5745 (2011): the mutual information between a prediction and who makes it.
    """

    def __init__(
        self, networks: Sequence[Network], mirror_axes: Sequence[int], *, table: LabelTable, average: Average
    ) -> None:
        """Put members together.

        Args:
            networks: one per fold.
            mirror_axes: array axes (0 z, 1 y, 2 x) to mirror along.
            table: the classes.
            average: what is averaged.
        """
        self.networks, self.sets = tuple(networks), mirror_sets(mirror_axes)
        self.table, self.average = table, average

    def __call__(self, patches: Float32[np.ndarray, "b c z y x"]) -> Float32[np.ndarray, "b k z y x"]:
        """Channels of patches: the logits, disagreement, votes."""
        zero = np.zeros((), dtype=np.float32)
        mean, shares, own, votes = zero, zero, zero, zero
        for chosen in self.sets:
            axes = tuple(axis + 2 for axis in chosen)
            for network in self.networks:
                logits = np.flip(network(np.ascontiguousarray(np.flip(patches, axes))), axes)
                mean = mean + logits
                found = self._shares(logits)
                shares, own, votes = shares + found, own + self._entropy(found), votes + self._is_blood(logits)
        count = np.float32(len(self.networks) * len(self.sets))
        shares = shares / count
        result = mean / count if self.average == "logits" else self._logits(shares)
        apart = np.maximum(self._entropy(shares) - own / count, 0)
        channels: np.ndarray = np.concatenate([result, apart[:, None], (votes / count)[:, None]], axis=1)
        return channels

    def _shares(self, logits: Float32[np.ndarray, "b k z y x"]) -> Float32[np.ndarray, "b k z y x"]:
        """The softmax over classes, or the sigmoid of each region."""
        found: np.ndarray
        if self.table.regions:
            found = (1 + np.tanh(logits / 2)) / 2
            return found
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found = powers / powers.sum(axis=1, keepdims=True)
        return found

    def _logits(self, shares: Float32[np.ndarray, "b k z y x"]) -> Float32[np.ndarray, "b k z y x"]:
        """Logits with these probabilities."""
        inside = np.clip(shares, LEAST, 1 - LEAST)
        found: np.ndarray = np.log(inside) - np.log1p(-inside) if self.table.regions else np.log(inside)
        return found

    def _entropy(self, shares: Float32[np.ndarray, "b k z y x"]) -> Float32[np.ndarray, "b z y x"]:
        """Entropy as a part of the largest possible; of regions the mean of each."""
        inside = np.clip(shares, LEAST, 1 - LEAST)
        bits: np.ndarray = inside * np.log2(inside)
        if self.table.regions:
            bits = bits + (1 - inside) * np.log2(1 - inside)
        largest = len(self.table.regions) or log2(shares.shape[1])
        return np.asarray(-np.sum(bits, axis=1) / np.float32(largest))

    def _is_blood(self, logits: Float32[np.ndarray, "b k z y x"]) -> Float32[np.ndarray, "b z y x"]:
        channels = self.table.blood_channels
        if self.table.regions:
            return np.asarray((logits[:, channels] > 0).any(axis=1), dtype=np.float32)
        return np.isin(logits.argmax(axis=1), [channel + 1 for channel in channels]).astype(np.float32)
