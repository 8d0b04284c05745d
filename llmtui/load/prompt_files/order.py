"""The order in which prompts are asked: a shuffle of any number of them that takes no memory."""

from __future__ import annotations

import hashlib

_ROUNDS = 4


class Shuffle:
    """A permutation of the numbers below `count`, always the same for the same `seed`.

    It is a Feistel network over the next power of 4; a result that is too large is put through it again.
    """

    def __init__(self, count: int, seed: str) -> None:
        self._count = count
        self._half_bits = max(1, ((max(count, 2) - 1).bit_length() + 1) // 2)
        self._key = hashlib.blake2b(seed.encode(), digest_size=16).digest()

    def __call__(self, number: int) -> int:
        """Return where a number goes."""
        while True:
            number = self._once(number)
            if number < self._count:
                return number

    def _once(self, number: int) -> int:
        mask = (1 << self._half_bits) - 1
        left, right = number >> self._half_bits, number & mask
        for turn in range(_ROUNDS):
            digest = hashlib.blake2b(b"%d/%d" % (turn, right), key=self._key, digest_size=8).digest()
            left, right = right, left ^ (int.from_bytes(digest, "big") & mask)
        return left << self._half_bits | right
