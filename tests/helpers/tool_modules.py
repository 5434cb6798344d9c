"""The command lines in tools/ as modules."""

import importlib.util
import pathlib
import sys

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


def load_tool(name):
    """The module of tools/<name>.py, loaded anew."""
    spec = importlib.util.spec_from_file_location(f"{name}_tool", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
