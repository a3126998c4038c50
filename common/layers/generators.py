"""Matrix hyper-layers: weights generated from a matrix H (section 3.4), layer by layer or in blocks; all or some."""

import itertools
import math

import keras
import tensorflow as tf

from common.layers.kernels import FactoredKernel, ScaledKernel, initializer

LINE = 16  # numbers: in block generation each weight starts at a whole line of 64 bytes, where it need not be copied
# Standard deviation of U H V at the start, for H of unit variance, against 1 / sqrt(rows + columns): near a plain VAE.
CHANGE_SCALE = 0.1


@keras.saving.register_keras_serializable(package="hypervae")
class MatrixHyperLayer(keras.layers.Layer):
    """W = sigma(U H V + B) for a weight of any shape.

    A target of shape (..., n) is seen as a matrix of prod(...) rows and n columns; a bias (n,) as 1 x n.
    With H of 20 x 20 and W of 400 x 400 this takes 400*20 + 20*400 + 400*400 = 176,000 parameters, where
    a dense layer from 400 numbers takes 64.16 million.

    Args:
        target_shape: shape of W.
        input_shape_of_h: (rows, columns) of H.
        activation: sigma; the paper's last layer has none.
        base_initializer: of B, where W starts.
        change_scale: of U H V at the start.
    """

    def __init__(
        self,
        target_shape,
        input_shape_of_h=(20, 20),
        activation=None,
        base_initializer="zeros",
        change_scale=CHANGE_SCALE,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.change_scale = change_scale
        self.target_shape = tuple(target_shape)
        self.input_shape_of_h = tuple(input_shape_of_h)
        self.activation = keras.activations.get(activation)
        self.base_initializer = base_initializer
        rows, columns = math.prod(self.target_shape[:-1]), self.target_shape[-1]
        inner_rows, inner_columns = self.input_shape_of_h
        self.left = self.add_weight(
            shape=(rows, inner_rows), name="left", initializer=keras.initializers.RandomNormal(stddev=inner_rows**-0.5)
        )
        spread = change_scale / math.sqrt(inner_columns * (rows + columns))
        self.right = self.add_weight(
            shape=(inner_columns, columns), name="right", initializer=keras.initializers.RandomNormal(stddev=spread)
        )
        self.base = self.add_weight(shape=(rows, columns), name="base", initializer=base_initializer)
        self.built = True

    def factors(self, h):
        """W for H (tasks, rows, columns) as B, U, H, V, not multiplied out; needs sigma = identity."""
        if self.activation is not keras.activations.linear:
            raise ValueError("only sigma = identity leaves W = B + U H V factored")
        return FactoredKernel(self.base.value, self.left.value, h, self.right.value)

    def call(self, h):
        """H (..., rows, columns) to W (..., *target_shape)."""
        w = tf.matmul(tf.matmul(self.left.value, h), self.right.value) + self.base.value
        return tf.reshape(self.activation(w), tuple(h.shape[:-2]) + self.target_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "target_shape": self.target_shape,
            "input_shape_of_h": self.input_shape_of_h,
            "activation": keras.activations.serialize(self.activation),
            "base_initializer": self.base_initializer,
            "change_scale": self.change_scale,
        }


# What u may change of theta; the rest is learned and shared by all tasks. "all" is the paper's, "scale_bias" what it
# calls common hypernetwork practice: a factor and a summand for each output of each layer.
# "all_scaled" is both: a factor for each output, over low-rank changes of the kernels, which cannot make one.
GENERATED = ("all", "all_scaled", "decoder", "encoder", "scale_bias", "bias")


def is_generated(name, generate):
    """Whether a whole weight of theta is made from u, by its name and one of GENERATED."""
    if generate in ("scale_bias", "bias"):
        return name.endswith("bias")
    return generate in ("all", "all_scaled") or name.startswith(generate)


class LayerwiseGenerator(keras.layers.Layer):
    """The paper's generator: one `MatrixHyperLayer` for each weight of the main VAE.

    Kernels come out factored, so that a layer used on few images of many tasks never forms them.

    Args:
        shapes: {name: shape} of theta.
        change_scale: of what is generated, as of MatrixHyperLayer; vector_scale: of biases and factors, where these are
            to change otherwise.
        generate: one of GENERATED.
    """

    def __init__(
        self,
        shapes,
        input_shape_of_h=(20, 20),
        change_scale=CHANGE_SCALE,
        generate="all",
        vector_scale=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if generate not in GENERATED:
            raise ValueError(f"generate is one of {GENERATED}, not {generate}")
        self.names = list(shapes)
        self.matrix_layers = []  # of the weights that are generated, in the order of theta
        self.shared, self.scales, self._of_weight = {}, {}, {}
        vector_scale = change_scale if vector_scale is None else vector_scale
        for name, shape in shapes.items():
            own, start = name.replace("/", "_"), initializer(name)
            if is_generated(name, generate):
                options = dict(change_scale=vector_scale if len(shape) == 1 else change_scale, name=own)
                layer = MatrixHyperLayer(shape, input_shape_of_h, base_initializer=start, **options)
                self._of_weight[name] = len(self.matrix_layers)
                self.matrix_layers.append(layer)
            else:
                self.shared[name] = self.add_weight(shape=shape, name=own, initializer=start)
            bias = name.replace("kernel", "bias")
            if generate in ("scale_bias", "all_scaled") and name.endswith("kernel") and bias in shapes:
                options = dict(base_initializer="ones", change_scale=vector_scale, name=f"{own}_scale")
                self.scales[name] = MatrixHyperLayer(shapes[bias], input_shape_of_h, **options)
        self.built = True

    def call(self, h):
        """H (tasks, rows, columns) to theta, a dictionary of weights for each task, or one for all of them."""
        return {name: self._weight(name, h) for name in self.names}

    def _weight(self, name, h):
        if name in self._of_weight:
            layer = self.matrix_layers[self._of_weight[name]]
            value = layer.factors(h) if name.endswith("kernel") else layer(h)
        else:
            value = self.shared[name].value
        if name not in self.scales:
            return value
        scale = self.scales[name](h)
        # A transposed convolution's kernel makes nine outputs of each channel, the channel's index last.
        return ScaledKernel(value, tf.tile(scale, (1, value.shape[-1] // scale.shape[-1])))


class BlockGenerator(keras.layers.Layer):
    """All weights at once, in a depth that does not grow with the main network's (end of section 4.3).

    theta is laid out as one vector, cut into `block` x `block` matrices that are stacked along a batch
    dimension, and one batched matrix layer W_i = U_i H V_i + B_i generates the stack.
    """

    def __init__(self, shapes, input_shape_of_h=(20, 20), change_scale=CHANGE_SCALE, block=200, **kwargs):
        super().__init__(**kwargs)
        self.shapes, self.block = dict(shapes), block
        inner_rows, inner_columns = input_shape_of_h
        self.sizes = [-(-math.prod(shape) // LINE) * LINE for shape in self.shapes.values()]
        # Two at least: with a block axis of 1, TensorFlow's oneDNN product below writes past its memory (tensorflow
        # issue 117700).
        self.num_blocks = max(2, -(-sum(self.sizes) // block**2))
        self.left = self.add_weight(
            shape=(self.num_blocks, block, inner_rows),
            name="left",
            initializer=keras.initializers.RandomNormal(stddev=inner_rows**-0.5),
        )
        self.right = self.add_weight(
            shape=(self.num_blocks, inner_columns, block),
            name="right",
            initializer=keras.initializers.RandomNormal(stddev=change_scale / math.sqrt(inner_columns * 2 * block)),
        )
        self.base = self.add_weight(shape=(self.num_blocks, block, block), name="base", initializer=self._initial_base)
        self.built = True

    def _initial_base(self, shape, dtype=None):
        parts = []
        for (name, weight_shape), size in zip(self.shapes.items(), self.sizes):
            weight = keras.initializers.get(initializer(name))(weight_shape, dtype=dtype)
            parts.append(tf.pad(tf.reshape(weight, (-1,)), [[0, size - math.prod(weight_shape)]]))
        flat = tf.concat(parts, 0)
        return tf.reshape(tf.pad(flat, [[0, math.prod(shape) - flat.shape[0]]]), shape)

    def call(self, h):
        """H (tasks, rows, columns) to theta, a dictionary of weights for each task."""
        tasks = h.shape[0]
        # U_i H of all blocks is one product: the U_i stand below one another.
        left = tf.matmul(tf.reshape(self.left.value, (-1, h.shape[1])), h)
        left = tf.reshape(left, (tasks,) + tuple(self.left.shape))
        blocks = tf.matmul(left, self.right.value) + self.base.value
        # One task needs no task axis while it is cut up, and without one the parts are views.
        parts = self._cut(tf.reshape(blocks, (-1,) if tasks == 1 else (tasks, -1)))
        return {name: tf.reshape(part, (tasks, *shape)) for (name, shape), part in zip(self.shapes.items(), parts)}

    def _cut(self, flat):
        """The parts of flat (..., n) that are the weights', without the gaps between them."""
        lengths = [math.prod(shape) for shape in self.shapes.values()]
        gaps = [size - length for size, length in zip(self.sizes, lengths)]
        gaps[-1] += flat.shape[-1] - sum(self.sizes)

        @tf.custom_gradient
        def cut(flat):
            # One concatenation: gradients of slices would pad each part to the whole, and XLA is three times as slow.
            def gradient(*parts):
                pad = [[0, 0]] * (len(flat.shape) - 1)
                return tf.concat([tf.pad(part, [*pad, [0, gap]]) for part, gap in zip(parts, gaps)], -1)

            starts = itertools.accumulate(self.sizes, initial=0)
            return [flat[..., start : start + length] for start, length in zip(starts, lengths)], gradient

        return cut(flat)


class ConcatenationGenerator(keras.layers.Layer):
    """u as one more input of the dense layers of encoder and decoder, in the manner of the Neural Statistician.

    (Edwards & Storkey 2017.) To a dense layer that is a bias linear in u; all other weights are shared.

    Args:
        shapes: {name: shape} of theta.
        hyper_latent_dim: dimensions of u.
    """

    def __init__(self, shapes, hyper_latent_dim, **kwargs):
        super().__init__(**kwargs)
        self.shared = {
            name: self.add_weight(shape=shape, name=name.replace("/", "_"), initializer=initializer(name))
            for name, shape in shapes.items()
        }
        self.columns = {
            name: self.add_weight((hyper_latent_dim, *shape), "glorot_uniform", name=f"{name.replace('/', '_')}_of_u")
            for name, shape in shapes.items()
            if name.endswith("dense/bias")
        }
        self.built = True

    def call(self, u):
        """u (tasks, hyper_latent_dim) to theta; biases of the dense layers are one a task."""
        theta = {name: weight.value for name, weight in self.shared.items()}
        return theta | {name: theta[name] + tf.matmul(u, weight.value) for name, weight in self.columns.items()}


GENERATORS = {
    "layerwise": LayerwiseGenerator,
    "block": BlockGenerator,
    "concatenation": ConcatenationGenerator,
}
