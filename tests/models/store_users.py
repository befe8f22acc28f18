"""A process that asks a feature store for much; apart from its test, so that a new process imports little."""

import torch
from torch import nn

from remot.models.inputs.feature_store import FeatureStore, StoredFeatures


class Tower(nn.Module):
    """As much of a model as a store looks at."""

    def __init__(self):
        super().__init__()
        self.language, self.config = nn.Linear(1, 1), self

    def get_decoder(self):
        return self.language

    get_output_embeddings = get_decoder

    def to_dict(self):
        return {}


def use_heavily(folder, num_bytes, results, seed):
    """Asks for items in an order of its own; puts down how many were not what they have to be."""
    stored, tower = StoredFeatures(FeatureStore(folder, 20 * num_bytes / 10**9)), Tower()
    read, order, wrong = stored.of(tower), torch.randperm(120, generator=torch.Generator().manual_seed(seed)), 0
    for number in (order % 40).tolist():
        wanted = torch.full((64,), float(number))
        (found,) = read("image", {"patches": wanted}, lambda wanted=wanted: [wanted * 2])
        wrong += int(not torch.equal(found, wanted * 2))
    results.put((wrong, stored.num_found, bool(stored._warned)))
