"""ealn_plugin/models/neck.py: the normalization between triplets and classifier, and which feature is seen when."""

import pytest
import torch

from ealn_plugin.models import EmbeddingNetwork, NeckedBackbone, check_backbone
from ealn_plugin.models.embedding import l2_normalize
from ealn_plugin.models.neck import learned_feature
from tests.helpers.standins import TinyBackbone


def necked(tested, classes=3):
    torch.manual_seed(0)
    model = NeckedBackbone(TinyBackbone(classes), 8, classes, tested)
    with torch.no_grad():
        model.neck.weight.uniform_(0.5, 2)
        model.neck.running_mean.normal_()
        model.neck.running_var.uniform_(0.5, 2)
    return model


def test_training_compares_the_feature_and_classifies_the_normalized_one():
    model, images = necked("after").train(), torch.randn(6, 3, 32, 32)
    logits, features = model(images)
    normalized = (features - features.mean(0)) / (features.var(0, unbiased=False) + 1e-5).sqrt() * model.neck.weight
    torch.testing.assert_close(logits, normalized @ model.classifier.weight.T)
    assert logits.shape == (6, 3) and model.classifier.bias is None
    assert check_backbone(model, 32, 32) == model.feature_dim == 8


@pytest.mark.parametrize("tested", ["before", "after"])
def test_the_tested_feature(tested):
    model, images = necked(tested).eval(), torch.randn(2, 3, 32, 32)
    before, neck = model.backbone(images), model.neck
    after = (before - neck.running_mean) / (neck.running_var + 1e-5).sqrt() * neck.weight
    torch.testing.assert_close(model(images), after if tested == "after" else before)
    embedding = EmbeddingNetwork(model).eval()
    with learned_feature(embedding):
        torch.testing.assert_close(embedding(images), l2_normalize(before))
    torch.testing.assert_close(embedding(images), l2_normalize(after if tested == "after" else before))


def test_no_epoch_opens_a_shift():
    """torchreid's engines require a gradient of every parameter at each epoch."""
    model = necked("after")
    assert not model.neck.bias.any() and "neck.bias" in model.state_dict()
    assert "neck.bias" not in dict(model.named_parameters())
    with pytest.raises(ValueError, match="neck is 'behind'"):
        NeckedBackbone(TinyBackbone(3), 8, 3, "behind")
