"""Examples in docstrings and Python blocks of the documentation give what they say."""

import ast
import doctest
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, Block, all_blocks

PYTHON_BLOCKS = [block for block in all_blocks() if block.language == "python"]


def docstring_examples() -> list[Any]:
    """Every docstring of the package with an example, by reading the files: nothing is imported for it."""
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                if ">>>" in text:
                    name = f"{module}.{getattr(node, 'name', '')}"
                    found.append(pytest.param(module, text, id=name))
    return found


def failures_of(text: str, names: dict[str, Any], where: str) -> str:
    """Run the examples of a text; the differences found, or nothing."""
    report: list[str] = []
    examples = doctest.DocTestParser().get_doctest(text, dict(names), where, where, 0)
    doctest.DocTestRunner(verbose=False).run(examples, out=report.append)
    return "".join(report)


@pytest.mark.parametrize(("module", "text"), docstring_examples())
def test_docstring_examples_hold(module: str, text: str) -> None:
    assert failures_of(text, vars(import_module(module)), module) == ""


@pytest.mark.parametrize("block", [block for block in PYTHON_BLOCKS if ">>>" in block.text], ids=str)
def test_documentation_examples_hold(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert failures_of(block.text, {}, str(block)) == ""


@pytest.mark.parametrize("block", [block for block in PYTHON_BLOCKS if ">>>" not in block.text], ids=str)
def test_documentation_code_names_what_exists(block: Block) -> None:
    tree = ast.parse(block.text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(body=imports, type_ignores=[]), str(block), "exec"), {})
    hemoseg = import_module("hemoseg")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hemoseg":
            assert hasattr(hemoseg, node.attr), f"hemoseg has no {node.attr}"


def test_a_wrong_example_is_found() -> None:
    assert "Expected" in failures_of(">>> 1 + 1\n3\n", {}, "example")
