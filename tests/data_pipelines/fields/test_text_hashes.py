import numpy as np
import polars as pl
import tensorflow as tf

from data_pipelines.fields.text_hashes import hash_key, text_hashes

REFERENCE_KEY = (0x0706050403020100, 0x0F0E0D0C0B0A0908)


def test_the_authors_vectors():
    texts = pl.Series([bytes(range(length)).decode() for length in (0, 1, 8, 15)])
    expected = [0x726FDB47DD0E0E31, 0x74F839C593DC67FD, 0x93F5F5799A932462, 0xA129CA6149BE45E5]
    assert text_hashes(texts, REFERENCE_KEY).tolist() == expected


def test_odd_texts_hash_as_in_the_graph():
    rng = np.random.default_rng(0)
    texts = ["", "\0", "é" * 7, "x" * 1000, "🙂", "a\nb", *("".join(rng.choice(list("aé🙂 "), n)) for n in range(40))]
    key = hash_key(seed=3, salt=1)
    assert max(key) < 2**63 and hash_key(3, 2) != key != hash_key(4, 1)
    found = text_hashes(pl.Series(texts), key)
    for buckets in (7, 2**31 - 1):
        graph = tf.strings.to_hash_bucket_strong(texts, buckets, list(key)).numpy()
        assert (graph == (found % np.uint64(buckets)).astype(np.int64)).all()


def test_slices_and_no_texts():
    texts = pl.Series(["a", "bc", "", "d"])
    assert (text_hashes(texts[1:3], (1, 2)) == text_hashes(pl.Series(["bc", ""]), (1, 2))).all()
    assert text_hashes(pl.Series([], dtype=pl.String), (1, 2)).shape == (0,)
