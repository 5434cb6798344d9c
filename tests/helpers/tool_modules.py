"""The command lines as modules."""

import importlib


def load_tool(name):
    """The module in ealn_plugin/commands/ behind tools/<name>.py."""
    return importlib.import_module(f"ealn_plugin.commands.{'train' if name == 'train_ealn' else name}")
