import copy
import pickle

import pytest

from hemoseg import errors


def test_text_says_where_what_rule_and_remedy():
    error = errors.InputError("no voxels", where="a.nii", expected="voxels", remedy="add some")
    assert str(error) == "a.nii: no voxels\n  expected: voxels\n  try: add some"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InputError, 2),
        (errors.GeometryError, 2),
        (errors.LabelError, 2),
        (errors.SettingsError, 2),
        (errors.ArtifactError, 2),
        (errors.ResourceError, 3),
    ],
)
def test_exit_codes(kind, code):
    error = kind("a", where="b", expected="c", remedy="d")
    assert error.exit_code == code
    assert isinstance(error, errors.HemosegError)


def test_bad_data_share_one_root():
    for kind in (errors.GeometryError, errors.LabelError, errors.SettingsError):
        assert issubclass(kind, errors.InputError)
    assert not issubclass(errors.ArtifactError, errors.InputError)


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_interruption_exits_as_a_shell_expects(number, code):
    assert errors.InterruptedRunError(number, where="runs/a", kept="kept").exit_code == code


def every_error():
    kinds = [errors.HemosegError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    texts = {"where": "b", "expected": "c", "remedy": "d"}
    ours = {kind for kind in kinds if kind.__module__ == errors.__name__}
    return [
        errors.InterruptedRunError(15, where="runs/a", kept="kept")
        if kind is errors.InterruptedRunError
        else kind("a", **texts)
        for kind in sorted(ours, key=lambda kind: kind.__name__)
    ]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_errors_pass_between_processes(error, again):
    error.add_note("by the way")
    other = again(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert other.exit_code == error.exit_code
    assert vars(other) == vars(error)
