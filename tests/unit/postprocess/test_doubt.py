"""How sure networks are, by probabilities made by hand: sums, the likeliest place, words, a second look."""

from math import log, log2

import numpy as np
import pytest

from hemoseg.geometry import Grid
from hemoseg.labels import LabelTable
from hemoseg.postprocess import Probabilities, Tally, Vote, low_vote, nothing_found, second_look
from hemoseg.postprocess.doubt import binary_entropy

TABLE = LabelTable(("background", "iph", "ivh", "edema"))
REGIONS = LabelTable(("background", "hemorrhage", "ivh"), regions=((1, 2), (2,)), paint=(1, 2))
GRID = Grid(
    shape=(3, 4, 5),
    spacing_mm=(10.0, 10.0, 5.0),  # half a milliliter
    origin_lps_mm=(0.0, 0.0, 0.0),
    direction=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
)
WHOLE = (slice(0, 4), slice(0, 5))


def stack(table=TABLE, **voxels):
    """Probabilities (class, z, y, x): 0 but in voxels z, y, x of names like at_0_1_2."""
    shares = np.zeros((len(table.members), *GRID.shape), dtype=np.float32)
    for name, values in voxels.items():
        shares[(slice(None), *map(int, name.split("_")[1:]))] = values
    return shares


def as_logits(shares, table=TABLE):
    """Logits with these probabilities, background first where classes share a softmax."""
    with np.errstate(divide="ignore"):
        if table.regions:
            return np.maximum(np.log(shares) - np.log1p(-shares), -50).astype(np.float32)
        background = np.maximum(1 - shares.sum(axis=0, keepdims=True), 0)
        return np.maximum(np.log(np.concatenate([background, shares])), -50)


def tally_logits(shares, table=TABLE, *, with_maps=False):
    tally = Tally(table=table, shape=GRID.shape, with_maps=with_maps)
    for number in range(GRID.shape[0]):
        tally.take_logits(number, WHOLE, as_logits(shares, table)[:, number])
    return tally


def test_sums_of_probabilities_and_entropies_by_hand():
    shares = stack(at_0_1_2=(0.5, 0.25, 0.0), at_2_3_4=(0.0, 0.0, 1.0), at_1_0_0=(0.0, 0.0, 2.0**-11))
    found = tally_logits(shares).finish(GRID, to_index=None, members=1)
    assert found.classes["iph"].largest_probability == pytest.approx(0.5)
    assert found.classes["iph"].expected_ml == pytest.approx(0.25)
    assert found.classes["iph"].doubtful_ml == pytest.approx(0.5, rel=1e-4)
    quarter = -0.25 * log2(0.25) - 0.75 * log2(0.75)
    assert found.classes["ivh"].doubtful_ml == pytest.approx(0.5 * quarter, rel=1e-5)
    assert found.classes["edema"].expected_ml == pytest.approx(0.5)  # below 2^-10 is nothing
    assert found.classes["edema"].doubtful_ml == pytest.approx(0.0, abs=1e-5)


def test_blood_of_two_kinds_counts_together():
    """Background is the likeliest class there, and still it is blood rather than not."""
    shares = stack(at_1_2_3=(0.35, 0.25, 0.0), at_0_0_0=(0.1, 0.0, 0.9))
    found = tally_logits(shares).finish(GRID, to_index=None, members=1)
    assert found.peak.probability == pytest.approx(0.6)
    assert found.peak.slice == 1
    assert found.peak.center_mm == (15.0, 20.0, 10.0)
    assert found.lower_ml == pytest.approx(0.5)
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    looked = second_look(labels, Probabilities.of(shares), TABLE)
    assert looked[1, 2, 3] == 1
    assert np.count_nonzero(looked) == 1


def test_planes_of_another_order_are_told_where_they_lie():
    found = tally_logits(stack(at_1_2_3=(0.5, 0.0, 0.0))).finish(
        GRID, to_index=lambda place: (place[1], place[0], place[2]), members=1
    )
    assert found.peak.slice == 2
    assert found.peak.center_mm == (15.0, 10.0, 20.0)


@pytest.mark.parametrize("table", [TABLE, REGIONS])
def test_logits_and_stored_probabilities_say_the_same(table, rng):
    shares = (rng.dirichlet((0.2,) * (len(table.members) + 1), GRID.shape)[..., 1:]).transpose(3, 0, 1, 2)
    shares = np.where(shares < 2.0**-9, 0, shares).astype(np.float32).astype(np.float16).astype(np.float32)
    one = tally_logits(shares, table, with_maps=True)
    other = Tally(table=table, shape=GRID.shape, with_maps=True)
    other.take_probabilities(Probabilities.of(shares))
    first, second = (tally.finish(GRID, to_index=None, members=2) for tally in (one, other))
    for name in table.members:
        assert first.classes[name].expected_ml == pytest.approx(second.classes[name].expected_ml, rel=1e-4)
        assert first.classes[name].doubtful_ml == pytest.approx(second.classes[name].doubtful_ml, rel=2e-3, abs=1e-3)
    assert (first.peak.slice, first.lower_ml) == (second.peak.slice, second.lower_ml)
    assert np.abs(one.entropy.astype(float) - other.entropy).max() < 2e-3


def test_the_map_of_entropy_runs_from_sure_to_nothing_known():
    tally = tally_logits(stack(at_0_0_0=(0.25, 0.25, 0.25), at_0_0_1=(1.0, 0.0, 0.0)), with_maps=True)
    assert tally.entropy[0, 0, 0] == 1
    assert tally.entropy[0, 0, 1] == pytest.approx(0, abs=1e-4)
    assert np.count_nonzero(tally.entropy) <= 2


def test_regions_have_probabilities_of_their_own():
    shares = stack(REGIONS, at_0_1_2=(0.45, 0.3), at_1_1_1=(0.5, 0.0))
    found = tally_logits(shares, REGIONS).finish(GRID, to_index=None, members=1)
    assert found.peak.probability == pytest.approx(0.5)
    assert found.lower_ml == pytest.approx(1.0)
    labels = second_look(np.zeros(GRID.shape, dtype=np.uint8), Probabilities.of(shares), REGIONS)
    assert (labels[0, 1, 2], labels[1, 1, 1]) == (2, 1)


def test_a_second_look_leaves_what_is_no_blood():
    shares = stack(at_0_0_0=(0.15, 0.0, 0.85), at_0_0_1=(0.0, 0.25, 0.7))
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    labels[0, 0, :2] = 3
    looked = second_look(labels, Probabilities.of(shares), TABLE)
    assert looked[0, 0, :2].tolist() == [3, 2]
    assert labels[0, 0, 1] == 3


def test_nothing_is_never_said_in_silence():
    nothing = tally_logits(stack()).finish(GRID, to_index=None, members=1)
    assert nothing.peak is None
    assert nothing_found(nothing, removed_ml=0.0) == (
        "the networks see no blood: its probability is below 0.001 everywhere"
    )
    faint = tally_logits(stack(at_1_2_3=(0.004, 0.0, 0.0))).finish(GRID, to_index=None, members=1)
    assert faint.peak is not None
    assert nothing_found(faint, removed_ml=0.0) == (
        "the networks see no blood: its probability is below 0.005 everywhere"
    )
    little = tally_logits(stack(at_1_2_3=(0.125, 0.0, 0.0))).finish(GRID, to_index=None, members=1)
    assert nothing_found(little, removed_ml=0.0) == (
        "the largest probability of blood is 0.12, in slice 1, x, y, z = 15.0, 20.0, 10.0 mm; it exceeds 0.2 nowhere"
    )
    much = tally_logits(stack(at_1_2_3=(0.4, 0.0, 0.0))).finish(GRID, to_index=None, members=1)
    words = nothing_found(much, removed_ml=1.25)
    assert words.endswith("it exceeds 0.2 in 0.50 ml: look there; rules after the networks removed 1.25 ml")


def test_a_table_without_blood_has_no_peak():
    table = LabelTable(("background", "edema"))
    shares = stack(table, at_1_2_3=(0.4,))
    assert tally_logits(shares, table).finish(GRID, to_index=None, members=1).peak is None


def test_entropy_of_one_bit():
    assert binary_entropy(np.float32([0.0, 0.5, 1.0])).tolist() == [0.0, 1.0, 0.0]
    assert binary_entropy(np.float32([0.1]))[0] == pytest.approx(-(0.1 * log(0.1) + 0.9 * log(0.9)) / log(2), rel=1e-5)


def counts(*values):
    """Votes in the first voxels."""
    found = np.zeros(GRID.shape, dtype=np.uint16)
    found.ravel()[: len(values)] = values
    return found


def test_the_low_vote_rule_by_hand():
    """Of four voxels with a vote one has seven of fifteen: doubtful, and two votes are enough."""
    shares = stack(at_0_0_0=(0.3, 0.4, 0.1), at_0_0_1=(0.1, 0.0, 0.0))
    vote = Vote(counts=counts(7, 2, 1, 1), members=15)
    assert vote.agreed == 0.25
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    found = low_vote(labels, Probabilities.of(shares), vote, TABLE)
    assert found.ravel()[:5].tolist() == [2, 1, 0, 0, 0]
    assert not labels.any()


def test_where_members_agree_the_average_stays():
    vote = Vote(counts=counts(15, 8, 7, 2, 1, 1), members=15)
    assert vote.agreed == 0.5
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    labels[0, 0, 0] = 1
    assert low_vote(labels, Probabilities.of(stack()), vote, TABLE) is labels
    nobody = Vote(counts=counts(), members=15)
    assert (nobody.agreed, nobody.is_doubtful) == (None, False)


def test_low_votes_add_blood_and_change_no_kind():
    shares = stack(at_0_0_0=(0.0, 0.9, 0.0), at_0_0_1=(0.2, 0.1, 0.7))
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    labels[0, 0, :3] = (1, 3, 3)
    vote = Vote(counts=counts(2, 2, 1, 1, 1, 1), members=15)
    found = low_vote(labels, Probabilities.of(shares), vote, TABLE)
    assert found[0, 0, :3].tolist() == [1, 1, 3]


def test_low_votes_paint_regions():
    shares = stack(REGIONS, at_0_0_0=(0.3, 0.4), at_0_0_1=(0.3, 0.1))
    vote = Vote(counts=counts(2, 2, 1, 1), members=15)
    found = low_vote(np.zeros(GRID.shape, dtype=np.uint8), Probabilities.of(shares), vote, REGIONS)
    assert found[0, 0, :3].tolist() == [2, 1, 0]
