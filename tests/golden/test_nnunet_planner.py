"""Plans of nnU-Net's real planners, kept in the repository: are ours the same, to the last digit?"""

import json
from pathlib import Path

import pytest

from hemoseg.interop import read_plans, write_plans
from hemoseg.plan import Configuration, Intensity, Plan
from hemoseg.planning.nnunet import DatasetFacts, make_nnunet_plan
from hemoseg.settings import Settings
from planner_peer import expand, intensity, our_plan, our_plans_json

HERE = Path(__file__).parent
GOLDENS = json.loads((HERE / "nnunet-planners.json").read_text())
ORACLES = json.loads((HERE / "nnunet-oracles.json").read_text())


def _name(golden):
    return f"{golden['name']}-{golden['planner']}-{golden['memory_gb'] or 'own'}"


@pytest.mark.parametrize("golden", GOLDENS, ids=_name)
def test_plans_json_is_nnunets(golden):
    ours = our_plans_json(expand(golden))
    assert ours == golden["plans"]
    assert json.dumps(ours, sort_keys=True) == json.dumps(golden["plans"], sort_keys=True)  # 68 is not 68.0


@pytest.mark.parametrize("golden", GOLDENS, ids=_name)
def test_plans_json_is_read_and_written_without_loss(golden):
    plan = read_plans(golden["plans"], golden["dataset_json"])
    assert json.loads(json.dumps(write_plans(plan))) == golden["plans"]
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_a_plan_that_was_read_decides_as_the_one_that_was_made():
    for golden in GOLDENS:
        made, read = our_plan(expand(golden)), read_plans(golden["plans"], golden["dataset_json"])
        by_name = tuple(sorted(made.configurations, key=lambda item: item.name))
        names = read.nnunet.model_copy(update={"said": made.nnunet.said})  # a plan that was made repeats less
        unknown = {"memory_gb": made.memory_gb, "reasons": made.reasons, "nnunet": names, "regions": ()}
        assert read.model_copy(update=unknown) == made.model_copy(update={"configurations": by_name})


def test_goldens_cover_every_planner_and_kind_of_data():
    assert len(GOLDENS) >= 150
    assert {golden["planner"] for golden in GOLDENS} == {"nnunet", *(f"nnunet-resenc-{s}" for s in ("m", "l", "xl"))}
    kinds = {tuple(golden["plans"]["configurations"]) for golden in GOLDENS}
    assert kinds == {("2d",), ("2d", "3d_fullres"), ("2d", "3d_cascade_fullres", "3d_fullres", "3d_lowres")}
    assert {tuple(golden["plans"]["transpose_forward"]) for golden in GOLDENS} == {(0, 1, 2), (1, 0, 2), (2, 0, 1)}


def _oracle_plan(cohort, planner):
    channels = ("CT",) if cohort["channels"] == 1 else tuple("abcd")
    cases = [(tuple(spacing), tuple(shape)) for spacing, shape, count in cohort["cases"] for _ in range(count)]
    facts = DatasetFacts(
        dataset_name="Dataset904_ICH_mixed",
        channel_names=channels,
        label_count=cohort["labels"],
        training_cases=len(cases),
        file_ending=".nii.gz",
        spacings_mm=tuple(spacing for spacing, _ in cases),
        shapes=tuple(shape for _, shape in cases),
        relative_size=cohort["relative_size"],
        intensities=tuple(Intensity(**intensity(index)) for index in range(len(channels))),
    )
    labels = tuple(f"class-{number}" for number in range(cohort["labels"]))
    return make_nnunet_plan(
        facts, planner=planner, memory_gb=None, labels=labels, settings=Settings(), precision="fp32"
    )


def _in_plane(item: Configuration) -> int:
    return 3 - item.dimensions


@pytest.mark.parametrize("planner", ["nnunet", "nnunet-resenc-m", "nnunet-resenc-l", "nnunet-resenc-xl"])
@pytest.mark.parametrize("name", ORACLES["cohorts"])
def test_v2_decides_as_its_oracle(name, planner):
    expected = ORACLES["cohorts"][name]["v2"][planner]
    plan = _oracle_plan(ORACLES["cohorts"][name], planner)
    planned = [item for item in plan.configurations if item.name != "3d_cascade_fullres"]
    decided = {
        item.name: {
            "patch": list(item.patch_size[_in_plane(item) :]),
            "bs": item.batch_size,
            "spacing": [round(value, 5) for value in item.spacing_mm if value is not None],
            "median": list(item.median_shape[_in_plane(item) :]),
            "strides": [list(stride[_in_plane(item) :]) for stride in item.strides],
            "kernels": [list(kernel[_in_plane(item) :]) for kernel in item.kernels],
            "feat": list(item.features),
            "batch_dice": item.batch_dice,
            "mask": [channel.masked for channel in plan.preparation.channels],
        }
        for item in planned
    }
    assert decided == expected["configs"]
    assert list(plan.preparation.transpose) == expected["transpose"]


@pytest.mark.parametrize("name", ORACLES["cohorts"])
def test_v1_decides_as_its_oracle(name):
    plan = _oracle_plan(ORACLES["cohorts"][name], "nnunet-v1")
    decided = dict.fromkeys(("2d", "3d_lowres", "3d_fullres")) | {
        item.name: [
            list(item.patch_size[_in_plane(item) :]),
            item.batch_size,
            [round(value or 0, 4) for value in item.spacing_mm],
            [list(stride[_in_plane(item) :]) for stride in item.strides[1:]],
            [list(kernel[_in_plane(item) :]) for kernel in item.kernels],
        ]
        for item in plan.configurations
        if item.name != "3d_cascade_fullres"
    }
    assert decided == ORACLES["cohorts"][name]["v1"]
    assert plan.preparation.normalize == "after"
    assert plan.preparation.resampling.labels.winner == "half"


def test_the_whole_plans_json_of_the_oracle_is_read_and_written():
    labels = {"background": 0} | {f"class-{number}": number for number in range(1, 6)}
    dataset = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 100, "file_ending": ".nii.gz"}
    assert write_plans(read_plans(ORACLES["plans"], dataset)) == ORACLES["plans"]
