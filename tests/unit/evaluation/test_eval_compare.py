"""Comparisons of two models by hand."""

import json

import pytest
from scipy import stats

from hemoseg.errors import InputError
from hemoseg.evaluation import compare_results, read_result
from hemoseg.evaluation.compare import better, wilcoxon_p
from hemoseg.evaluation.result import Result


def result(values, *, metric="dice", protocol="extended", patients=None, name="iph"):
    cases = [
        {
            "case": f"c{number}",
            "patient": patients[number] if patients else None,
            "classes": {name: {metric: value, "volume_ml": 1.0, "note": "x"}},
        }
        for number, value in enumerate(values)
    ]
    return Result(protocol=protocol, cases=cases, mean={})


LOW = [0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70]
HIGH = [value + 0.1 + 0.01 * number for number, value in enumerate(LOW)]


@pytest.mark.parametrize(("metric", "winner"), [("dice", "B"), ("hd95_mm", "A"), ("nsd_3mm", "B")])
def test_the_better_one_is_named(metric, winner):
    found = compare_results(result(LOW, metric=metric), result(HIGH, metric=metric))
    row = found["differences"][0]
    assert row["difference"]["value"] == pytest.approx(0.13)
    assert row["difference"]["low"] > 0.1
    assert row["p"] == pytest.approx(2 / 2**7)  # all seven differences have one sign
    assert found["verdict"][1].startswith(f"iph {metric}: {winner} is better (difference +0.1300 [")
    assert found["verdict"][0] == f"iph: of 1 metrics B is better in {int(winner == 'B')}, A in {int(winner == 'A')}"


def test_no_difference_shown_and_none_at_all():
    mixed = [value + (0.1 if number % 2 else -0.1) for number, value in enumerate(LOW)]
    assert "no difference shown" in compare_results(result(LOW), result(mixed))["verdict"][1]
    same = compare_results(result(LOW), result(LOW))
    assert "no difference at all" in same["verdict"][1]
    assert same["differences"][0]["p"] == 1


def test_too_few_for_the_test_are_undecided():
    assert "disagree: undecided" in compare_results(result(LOW[:3]), result(HIGH[:3]))["verdict"][1]


def test_cases_without_a_value_are_left_out_and_counted():
    found = compare_results(result([None, *LOW[1:]]), result([*HIGH[:-1], None]))
    assert found["differences"][0]["left_out"] == 2
    assert found["differences"][0]["difference"]["n"] == 5
    assert "2 cases left out" in found["verdict"][1]
    nothing = compare_results(result([None]), result([None]))
    assert nothing["differences"][0]["p"] is None
    assert "no case has a value in both" in nothing["verdict"][1]


def test_cases_of_one_patient_count_once():
    patients = ["p", "p", "q", "q", "r", "r", "s"]
    found = compare_results(result(LOW, patients=patients), result(HIGH, patients=patients))["differences"][0]
    assert found["difference"]["n"] == 4
    assert found["difference"]["value"] == pytest.approx((0.105 + 0.125 + 0.145 + 0.16) / 4)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (result(LOW, protocol="nnunet"), "A is by the protocol extended, B by nnunet"),
        (result(LOW[:-1]), "B lacks 1 case: c6"),
        (result(LOW, name="sdh"), "not in both: iph/dice, sdh/dice"),
        (result(LOW, metric="iou"), "not in both: iph/dice, iph/iou"),
    ],
)
def test_what_cannot_be_compared_is_refused(other, message):
    with pytest.raises(InputError, match=message):
        compare_results(result(LOW), other)


def test_metrics_without_a_better_end_alone_are_refused():
    with pytest.raises(InputError, match="no metric per case"):
        compare_results(result(LOW, metric="reference_ml"), result(HIGH, metric="reference_ml"))


def test_ends():
    assert [better(name) for name in ("nsd_1mm", "rvd", "volume_error_ml", "Dice", "TP")] == [1, -1, 0, 1, 0]


@pytest.mark.parametrize("count", [8, 60])
def test_p_is_scipys(rng, count):
    values = rng.normal(0.3, 1, count).tolist()
    method = "exact" if count <= 50 else "approx"
    expected = stats.wilcoxon(values, method=method, correction=count > 50).pvalue
    assert wilcoxon_p([*values, 0.0]) == pytest.approx(expected)
    assert wilcoxon_p([]) is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"metric_per_case": 3}', '{"metric_per_case": [{}], "mean": {}}'])
def test_files_that_are_no_results_are_refused(tmp_path, text):
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"m\.json: no result"):
        read_result(path)
    with pytest.raises(InputError, match="no result"):
        read_result(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cases: cases.append(cases[0]), "more than once"),
        (lambda cases: cases[1]["classes"].clear(), "case c1 has other classes or metrics than case c0"),
        (lambda cases: cases[1]["classes"]["iph"].pop("dice"), "case c1 has other classes"),
    ],
)
def test_a_result_whose_cases_differ_is_refused(tmp_path, change, message):
    content = json.loads(result(LOW).model_dump_json())
    change(content["cases"])
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_result(tmp_path / "a.json")


def test_a_summary_of_nnunet_is_a_result(tmp_path):
    path = tmp_path / "summary.json"
    metrics = {"1": {"Dice": 0.5, "TP": 3}}
    cases = [
        {"metrics": metrics, "reference_file": "r/a.nii.gz", "prediction_file": "p/a.nii.gz"},
        {
            "metrics": {"1": {"Dice": float("nan"), "TP": 0}},
            "reference_file": "r/b.nii",
            "prediction_file": "p/b.nii",
        },
    ]
    path.write_text(json.dumps({"metric_per_case": cases, "mean": metrics, "foreground_mean": {}}))
    found = read_result(path)
    assert found.protocol == "nnunet"
    assert {case.case: case.classes["1"]["Dice"] for case in found.cases} == {"a": 0.5, "b": None}
    assert found.mean["1"]["Dice"].n == 1
