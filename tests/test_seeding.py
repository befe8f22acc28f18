import hashlib

import numpy as np
import pytest

from remot.seeding import derive_seed, numpy_generator


def test_seed_is_the_documented_hash():
    """Seed 7 and address ("triplet", 3): blake2b of "i7/striplet/i3", first 8 bytes, top bit dropped."""
    expected = int(hashlib.blake2b(b"i7/striplet/i3", digest_size=8).hexdigest(), 16) // 2
    assert derive_seed(7, "triplet", 3) == expected


@pytest.mark.parametrize("seed", range(50))
def test_seeds_fit_a_signed_64_bit_integer(seed):
    assert 0 <= derive_seed(seed) < 2**63


def test_different_addresses_name_different_streams():
    addresses = [(), (1,), (2,), ("1",), (1, 2), (12,), (2, 1), ("a", "b"), ("ab",), ("b", "a")]
    seeds = {derive_seed(seed, *address) for seed in (0, 1) for address in addresses}
    assert len(seeds) == 2 * len(addresses)


def test_a_word_with_a_slash_is_one_word():
    assert derive_seed(0, "a/sb") != derive_seed(0, "a", "b")


def test_generator_repeats_itself_and_leaves_the_global_one_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = numpy_generator(1, "x").random(5), numpy_generator(1, "x").random(5)
    assert first.tolist() == again.tolist()
    assert first.tolist() != numpy_generator(1, "y").random(5).tolist()
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
