"""Small tests for big promises: import weight, module size, no pickle, no network at import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "osteon"
MODULES = sorted(SOURCE.rglob("*.py"))


def names_used(module: Path) -> set[str]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not all(alias.name.endswith("Error") for alias in node.names):
            names.add((node.module or "").partition(".")[0])  # an exception alone loads nothing
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names.add(f"{node.func.id}()")
    return names


def test_importing_osteon_is_light() -> None:
    code = "import sys, osteon; print([m for m in ('torch', 'cv2', 'pandas', 'pydicom') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_help_of_the_command_line_loads_no_network_library() -> None:
    code = "import sys, osteon.cli; print([m for m in ('torch', 'cv2', 'timm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_every_module_opens_no_connection() -> None:
    code = """
import importlib, socket, sys

def refuse(*arguments):
    raise RuntimeError("a connection at import")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
for name in sys.argv[1:]:
    importlib.import_module(name)
print(len(sys.argv) - 1)
"""
    dotted = [".".join(m.relative_to(SOURCE.parent).with_suffix("").parts) for m in MODULES if m.stem != "__main__"]
    done = subprocess.run([sys.executable, "-c", code, *dotted], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(len(dotted))


def test_whatever_could_unpickle_is_told_not_to() -> None:
    """`numpy.load` and `torch.load` unpickle unless they are told otherwise; pandas and joblib have no such switch."""
    told = {"np.load": ("allow_pickle", False), "torch.load": ("weights_only", True)}
    calls = [node for m in MODULES for node in ast.walk(ast.parse(m.read_text())) if isinstance(node, ast.Call)]
    names = [ast.unparse(call.func) for call in calls]
    assert set(told) <= set(names)  # or this test looks at nothing
    assert not {"pd.read_pickle", "yaml.load", "os.system"} & set(names)
    for call, name in zip(calls, names, strict=True):
        if name in told:
            option, wanted = told[name]
            given = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
            assert given.get(option) is wanted, ast.unparse(call)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(SOURCE)))
def test_a_module_is_short_and_plain(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 400
    assert not names_used(module) & {"pickle", "joblib", "dill", "eval()", "exec()"}


def test_every_module_says_what_it_is_for() -> None:
    silent = [m.name for m in MODULES if not ast.get_docstring(ast.parse(m.read_text(encoding="utf-8")))]
    assert silent == []
