"""What the fault tests have injected, shown at the end of the session; and the small network that they train."""

import pytest

from tests.helpers.fault_injection import INJECTED, LOST
from tests.helpers.standins import use_tiny_backbone


def pytest_terminal_summary(terminalreporter):
    """The table for RESULTS.md: ``pytest --slow tests/faults`` prints it."""
    if not INJECTED:
        return
    terminalreporter.section("faults injected")
    terminalreporter.write_line("| fault | injected | lost |")
    terminalreporter.write_line("|---|---|---|")
    for kind in sorted(INJECTED):
        terminalreporter.write_line(f"| {kind} | {INJECTED[kind]} | {LOST[kind] or 'nothing'} |")
    terminalreporter.write_line(f"| all | {sum(INJECTED.values())} | {sum(LOST.values()) or 'nothing'} |")


@pytest.fixture
def tiny(monkeypatch):
    """A small network under a known model name."""
    use_tiny_backbone(monkeypatch, "resnet18")
