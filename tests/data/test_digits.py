"""The embedded digits against scikit-learn's own functions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from autoprog_search.data.load import load_data
from autoprog_search.data.tensor import SPLIT_SEED, TensorData
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.space import GrowthSpace
from tests.tiny import CPU

pytestmark = pytest.mark.usefixtures("all_digits")


def test_images_labels_and_split_are_scikit_learns():
    bunch = load_digits()
    rest, test = train_test_split(range(1797), test_size=500, stratify=bunch.target, random_state=SPLIT_SEED)
    train, val = train_test_split(rest, test_size=297, stratify=bunch.target[rest], random_state=SPLIT_SEED)
    space = GrowthSpace.load("digits").model_copy(update={"resolution": 8})
    data = load_data(DataConfig(), space, load_recipe("digits"), CPU)
    assert isinstance(data, TensorData)
    plain = bunch.images / 16
    mean, deviation = plain[train].mean(), plain[train].std(ddof=1)
    for name, indices in (("train", train), ("val", val), ("test", test)):
        images, labels = data.splits[name]
        np.testing.assert_allclose(images[:, 0], (plain[indices] - mean) / deviation, atol=1e-5)
        assert labels.tolist() == bunch.target[indices].tolist()


def test_a_share_of_the_training_images_trains():
    data = load_data(DataConfig(train_share=0.3), GrowthSpace.load("digits"), load_recipe("digits"), CPU)
    assert data.train_size == 300
