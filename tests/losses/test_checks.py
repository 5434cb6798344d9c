"""ealn_plugin/losses/checks.py: options and margins that cannot work are refused."""

import math

import pytest

from ealn_plugin.losses import checks
from tests.helpers.naive import KINDS


@pytest.mark.parametrize(
    "kind, margins",
    [
        ("squared", dict(alpha=4.1)),
        ("euclidean", dict(alpha=2.1)),
        ("squared", dict(beta1=-0.1)),
        ("squared", dict(alpha=math.nan)),
        ("euclidean", dict(beta1=1.5, beta2=1.0)),
    ],
)
def test_margins_out_of_range_are_refused(kind, margins):
    with pytest.raises(ValueError, match=f"{next(iter(margins))}.*{kind}"):
        checks.check_margins(kind, **margins)


def test_the_margins_of_the_paper_pass():
    for kind in KINDS:
        assert checks.check_margins(kind, alpha=0.6, beta1=0.6, beta2=0.3) is None
