"""ealn_plugin/extras.py: what is missing, what needs it, how to get it."""
import pytest

from ealn_plugin.extras import check_extra


def test_only_what_is_missing_is_named():
    check_extra("report", ("numpy", "torch"), "reports")
    with pytest.raises(RuntimeError) as error:
        check_extra("some", ("numpy", "no_such_package"), "pages")
    assert str(error.value) == ('no_such_package is not installed, but pages need it; install with pip install -c '
                                'constraints.txt -e ".[some]"')
