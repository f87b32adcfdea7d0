"""Members of an average, with probabilities made by hand: disagreement, votes, what is averaged."""

from math import log, log2

import numpy as np
import pytest

from hemoseg.inference.panel import Panel
from hemoseg.inference.sliding import tile_logits
from hemoseg.labels import LabelTable

TABLE = LabelTable(("background", "hemorrhage", "edema"))
REGIONS = LabelTable(("background", "hemorrhage", "ivh"), regions=((1, 2), (2,)), paint=(1, 2))
SHAPE = (1, 2, 3)
PATCHES = np.zeros((1, 1, *SHAPE), dtype=np.float32)


def constant(*values):
    """A network that says the same everywhere."""
    logits = np.float32(values).reshape(1, -1, 1, 1, 1)
    return lambda patches: np.broadcast_to(logits, (len(patches), len(values), *patches.shape[2:]))


def of(*shares):
    """A network with these probabilities everywhere."""
    return constant(*(log(share) for share in shares))


def entropy(*shares):
    return -sum(share * log2(share) for share in shares if share) / log2(3)


def test_members_of_opposite_minds_disagree_and_unsure_ones_do_not():
    panel = Panel([of(0.98, 0.01, 0.01), of(0.01, 0.98, 0.01)], (), table=TABLE, average="logits")
    found = panel(PATCHES)[0, :, 0, 0, 0]
    expected = entropy(0.495, 0.495, 0.01) - entropy(0.98, 0.01, 0.01)
    assert found[3] == pytest.approx(expected, rel=1e-4)
    assert found[4] == 0.5
    unsure = Panel([of(0.4, 0.4, 0.2)] * 2, (), table=TABLE, average="logits")(PATCHES)[0, :, 0, 0, 0]
    assert unsure[3] == pytest.approx(0, abs=1e-6)


def test_logits_are_those_of_the_usual_average_to_the_bit(rng):
    kernel = rng.normal(size=(3, 1, 1, 2, 2)).astype(np.float32)

    def network(patches):
        wide = np.pad(patches, ((0, 0), (0, 0), (0, 0), (0, 1), (0, 1)))
        places = [(i, j) for i in (0, 1) for j in (0, 1)]
        parts = [wide[..., i : i + 4, j : j + 6] * kernel[None, :, 0, :, i, j, None, None] for i, j in places]
        return np.sum(parts, axis=0, dtype=np.float32)

    patches = rng.normal(size=(2, 1, 3, 4, 6)).astype(np.float32)
    networks = [network, lambda one: 2 * network(one)]
    found = Panel(networks, (1, 2), table=TABLE, average="logits")(patches)
    assert np.array_equal(found[:, :3], tile_logits(patches, networks, (1, 2)))
    assert found.shape == (2, 5, 3, 4, 6)


def test_the_mean_of_probabilities_is_not_that_of_logits():
    """One member that is surely wrong counts for more in logits."""
    networks = [of(0.2, 0.75, 0.05), of(0.3, 0.6, 0.1), constant(20.0, 0.0, 0.0)]
    logits = Panel(networks, (), table=TABLE, average="logits")(PATCHES)[0, :3, 0, 0, 0]
    shares = np.exp(Panel(networks, (), table=TABLE, average="probabilities")(PATCHES)[0, :3, 0, 0, 0])
    assert shares == pytest.approx([0.5, 0.45, 0.05], abs=1e-4)
    assert logits.argmax() == 0
    assert logits[0] - logits[1] > 5


def test_regions_are_asked_one_by_one():
    networks = [constant(2.0, -2.0), constant(-2.0, -2.0)]
    found = Panel(networks, (), table=REGIONS, average="probabilities")(PATCHES)[0, :, 0, 0, 0]
    assert found[:2] == pytest.approx([0.0, -2.0], abs=1e-4)
    sure = 1 / (1 + np.exp(-2.0))
    bits = -(sure * log2(sure) + (1 - sure) * log2(1 - sure))
    assert found[2] == pytest.approx((1 - bits) / 2, rel=1e-4)
    assert found[3] == 0.5


def test_mirrored_copies_are_members():
    """A network that sees blood on one side alone: mirrored, it votes for the other."""

    def network(patches):
        logits = np.zeros((1, 3, *patches.shape[2:]), dtype=np.float32)
        logits[..., 1, :, :, 0] = 5
        return logits

    found = Panel([network], (2,), table=TABLE, average="logits")(PATCHES)
    assert found[0, 4, 0, 0].tolist() == [0.5, 0.0, 0.5]
    assert found[0, 3, 0, 0, 1] == pytest.approx(0, abs=1e-6)
    sure = np.exp(5) / (2 + np.exp(5))
    mean = (sure + 1 / 3) / 2
    expected = entropy(mean, (1 - mean) / 2, (1 - mean) / 2) - (entropy(sure, (1 - sure) / 2, (1 - sure) / 2) + 1) / 2
    assert found[0, 3, 0, 0, 0] == pytest.approx(expected, rel=1e-4)
