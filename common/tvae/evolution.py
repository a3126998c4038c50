"""Evolution of sets of binary states, the E-step of TVAE (Drefs et al. 2022).

Parents are chosen, children are made of them by mutation, and the best of all survive.
No state is ever lost for a worse one and none is kept twice, so the bound that the sets give cannot fall.
"""

from dataclasses import dataclass

import tensorflow as tf

from common.tvae.recipe import MUTATIONS, SELECTIONS

DUPLICATE = -1e20  # log-joint of a state that is in the set already: never kept
WORD = 32  # bits


def pack(states):
    """Bits (..., H), 0 or 1, to words (..., ceil(H / 32)) int32: equal words mean equal states."""
    length = states.shape[-1]
    words = -(-length // WORD)
    bits = tf.pad(tf.cast(states, tf.int32), [[0, 0]] * (len(states.shape) - 1) + [[0, words * WORD - length]])
    bits = tf.reshape(bits, tf.concat([tf.shape(states)[:-1], [words, WORD]], 0))
    return tf.reduce_sum(tf.bitwise.left_shift(bits, tf.range(WORD)), -1)


def unpack(words, length, dtype=tf.float32):
    """The inverse of `pack`: bits (..., length)."""
    bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(words[..., None], tf.range(WORD)), 1)
    bits = tf.reshape(bits, tf.concat([tf.shape(words)[:-1], [words.shape[-1] * WORD]], 0))
    return tf.cast(bits[..., :length], dtype)


def distinct_positions(shape, number, length, seed):
    """Uniform subsets of `number` out of 0 .. length - 1, (*shape, number) int32, by Floyd's algorithm.

    Bentley and Floyd, "A sample of brilliance" (1987): every subset is equally likely, for one draw a member. The order
    of the members is not uniform.
    """
    highest = tf.range(length - number, length)
    uniform = tf.random.stateless_uniform((*shape, number), seed)
    drawn = tf.minimum(tf.cast(uniform * tf.cast(highest + 1, uniform.dtype), tf.int32), highest)
    members = drawn[..., :1]
    for i in range(1, number):
        taken = tf.reduce_any(members == drawn[..., i : i + 1], -1, keepdims=True)
        members = tf.concat([members, tf.where(taken, highest[i], drawn[..., i : i + 1])], -1)
    return members


@dataclass(frozen=True)
class Evolution:
    """How new states are made.

    Args:
        num_parents, num_children, num_generations: parents times children times generations new states compete.
        selection: of parents: "best" (the top states), "fitness" (in proportion to it, for each data point), "uniform".
        mutation: "floyd_flip" (one bit, another one in each child of a parent), "flip" (the same distribution by
            sorting H numbers, which takes longer; other draws), "sparse_flips" (about `flips` bits, keeping the
            expected number of ones) or "crossover" (one-point, of each parent and its neighbour, then one flip).
    """

    num_parents: int = 5
    num_children: int = 4
    num_generations: int = 1
    selection: str = "best"
    mutation: str = "floyd_flip"
    flips: float = 1.0

    def __post_init__(self):
        if self.selection not in SELECTIONS or self.mutation not in MUTATIONS:
            raise ValueError(f"selection is one of {SELECTIONS}, mutation one of {MUTATIONS}")

    def check(self, num_states, length):
        """Raise ValueError where sets of `num_states` distinct states of `length` bits cannot evolve so."""
        if not 1 <= num_states <= 2**length or self.num_parents > num_states or self.num_children > length:
            raise ValueError(
                f"{num_states} distinct states of {length} bits, {self.num_parents} parents of {self.num_children} "
                "children: there are not so many states, parents or bits"
            )

    def improve(self, states, log_joint, expected_ones, seed):
        """Let children of the states compete with them.

        Args:
            states: (B, S, H), distinct for each data point.
            log_joint: function of states (B, M, H) that gives their log-joint (B, M).
            expected_ones: of a state under the prior, a scalar ("sparse_flips" keeps to it).
            seed: stateless, (2,).

        Returns:
            the S states of largest log-joint among old and new, and their log-joint (B, S).
        """
        values = log_joint(states)
        pool, pool_values, kept = states, values, [(states, values, pack(states))]
        for generation in range(self.num_generations):
            own = tf.random.experimental.stateless_fold_in(seed, generation)
            children = self.children(self.parents(pool, pool_values, own), expected_ones, own)
            words, known = pack(children), tf.concat([w for *_, w in kept], 1)
            same = tf.reduce_all(words[:, :, None] == known[:, None], -1)
            # Of equal children the first one counts.
            among = tf.reduce_all(words[:, :, None] == words[:, None], -1) & (
                tf.range(words.shape[1])[:, None] > tf.range(words.shape[1])
            )
            duplicate = tf.reduce_any(same, -1) | tf.reduce_any(among, -1)
            pool, pool_values = children, log_joint(children)
            kept.append((children, tf.where(duplicate, tf.cast(DUPLICATE, values.dtype), pool_values), words))
        all_states, all_values = tf.concat([s for s, *_ in kept], 1), tf.concat([v for _, v, _ in kept], 1)
        best, order = tf.math.top_k(all_values, states.shape[1])
        return tf.gather(all_states, order, batch_dims=1), best

    def parents(self, pool, values, seed):
        """(B, parents, H) of a pool (B, M, H) with its log-joint (B, M)."""
        number = self.num_parents
        if self.selection == "best":
            order = tf.math.top_k(values, number)[1]
        else:
            weights = tf.zeros_like(values)
            if self.selection == "fitness":  # at most twice as likely as another, where all values are negative
                weights = tf.math.log(values - 2 * tf.minimum(tf.reduce_min(values, -1, keepdims=True), 0) + 1e-6)
            # With replacement, by the Gumbel trick.
            uniform = tf.random.stateless_uniform(
                tf.concat([[number], tf.shape(values)], 0), seed, 1e-6, 1, values.dtype
            )
            order = tf.transpose(tf.argmax(weights - tf.math.log(-tf.math.log(uniform)), -1))
        return tf.gather(pool, order, batch_dims=1)

    def children(self, parents, expected_ones, seed):
        """Mutations (B, parents * children, H) of parents (B, parents, H); one parent's children flip distinct bits."""
        batch, number, length = tf.shape(parents)[0], *parents.shape[1:]
        seed_cross, seed_flip = tf.unstack(tf.random.split(seed, 2))
        if self.mutation == "crossover":
            point = tf.random.stateless_uniform((batch, number, 1), seed_cross, 1, max(2, length), tf.int32)
            # Each parent meets the one before it; as many children come of it as of mutation alone.
            parents = tf.where(tf.range(length) < point, parents, tf.roll(parents, 1, 1))
        if self.mutation == "sparse_flips":
            uniform = tf.random.stateless_uniform(
                (batch, number, self.num_children, length), seed_flip, dtype=parents.dtype
            )
            flips = uniform < self._flip_rates(parents, expected_ones)[:, :, None]
        else:
            if self.mutation == "flip":
                uniform = tf.random.stateless_uniform(tf.shape(parents), seed_flip, dtype=parents.dtype)
                positions = tf.math.top_k(uniform, self.num_children)[1]
            else:
                positions = distinct_positions((batch, number), self.num_children, length, seed_flip)
            flips = tf.one_hot(positions, length, True, False)
        children = tf.where(flips, 1 - parents[:, :, None], parents[:, :, None])
        return tf.reshape(children, (batch, number * self.num_children, length))

    def _flip_rates(self, parents, wanted):
        """Rates that flip `flips` bits on average and move the number of ones toward the wanted one."""
        total, length = self.flips, parents.shape[-1]
        ones = tf.reduce_sum(parents, -1, keepdims=True)
        lack = wanted - ones
        # Of too many ones by more than are flipped nothing but ones is flipped.
        ratio = tf.math.divide_no_nan((length - ones) * (total - lack), (lack + total) * tf.maximum(ones, 1))
        ratio = tf.where(lack + total > 0, tf.clip_by_value(ratio, 0.0, 1e3), 1e3)
        zero_rate = total / (length + (ratio - 1) * ones)
        return tf.clip_by_value(tf.where(parents > 0, ratio * zero_rate, zero_rate), 0.0, 1.0)
