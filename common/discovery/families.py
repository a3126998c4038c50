"""Families of designs: what a trained VAE or HyperVAE can decode, and where in its codes to look (section 3.5).

A design is a point (u, z): its image is the decoder's mean under theta(u) at z. A plain VAE is a family of one model,
whose u has no coordinates.
"""

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

BOX_Z, BOX_U = 5.0, 3.0  # the search goes over [-5, 5] in each coordinate of z, [-3, 3] in each of u, at least
NUM_INITIAL = 10  # designs drawn from the prior before the first model of the objective, where no task is known


class Family:
    """The designs of a trained VAE or HyperVAE.

    KL(u) weighs little, one share for each image of a task, so codes of tasks may lie far from the prior. Given the
    known tasks, the box covers their codes.

    Args:
        known: images of the tasks that the model was trained on, a list of (n, H, W, 1); or None, and the prior is
            believed.
        start: what a search begins with where tasks are known: "classes", the mean image of each; "nothing", u = 0 and
            draws of z from the prior; or the number of one task, images of it.
        fit_u: steps of Adam by which `infer_u` moves u.

    Attributes:
        first_u: u (u_dim,) with which a search begins: the mean of the tasks that it begins with, 0, or where no task
            is known that of an empty image.
        starts: images (n, H, W, 1) that a search encodes to begin with, and u (n, u_dim) of each one's task; or None.
    """

    def __init__(self, model, known=None, start="classes", fit_u=0):
        self.model, self.fit_u = model, fit_u
        self.u_dim, self.z_dim = getattr(model, "hyper_latent_dim", 0), model.body.latent_dim
        self.u_box = np.tile([-BOX_U, BOX_U], (self.u_dim, 1))
        self.z_box = np.tile([-BOX_Z, BOX_Z], (self.z_dim, 1))
        self.known_u, self.starts = None, None
        if known is None:
            self.first_u = self.infer_u(np.zeros(model.body.image_shape))
            return
        codes = [self._codes(tf.cast(images, tf.float32)[None]) for images in known]
        z = np.concatenate([z for _, z in codes])
        self.z_box = _widened(self.z_box, z)
        self.known_u = np.stack([u for u, _ in codes]).astype(np.float64)
        self.u_box = _widened(self.u_box, self.known_u)
        if start == "nothing":
            self.first_u = np.zeros(self.u_dim)
            return
        if start == "classes":
            self.starts = np.stack([images.mean(0) for images in known]), self.known_u
        else:
            images = known[start][:NUM_INITIAL]
            self.starts = images, np.tile(self.known_u[start], (len(images), 1))
        self.first_u = self.starts[1].mean(0)

    def _codes(self, images):
        """Posterior means u (u_dim,) of a task's images (1, n, H, W, 1), and z (n, z_dim) of each under theta(u)."""
        u = self.model.infer_u(images).mean() if self.u_dim else tf.zeros((1, 0))
        return u[0].numpy(), self.model.encode(images, self.theta(u)).mean()[0].numpy()

    def first_z(self, u, seed, budget):
        """Codes z (n, z_dim) with which a search under theta(u) begins: those of `starts`, or NUM_INITIAL
        draws of N(0, I) in the box; `budget` at most.

        The corners of the box decode to nothing like an image.
        """
        if self.starts is not None:
            return np.stack([self.encode(u, image) for image in self.starts[0][:budget]])
        draws = np.random.default_rng(seed).standard_normal((min(NUM_INITIAL, budget), self.z_dim))
        return draws.clip(*self.z_box.T)

    def first_codes(self):
        """(u, z) of the images of `starts`, each under its task's theta, (n, u_dim + z_dim)."""
        return np.stack([np.concatenate([u, self.encode(u, image)]) for image, u in zip(*self.starts)])

    def draw_u(self, random, number):
        """u (number, u_dim) from the prior, or of known tasks."""
        if self.known_u is None:
            return random.standard_normal((number, self.u_dim))
        return self.known_u[random.choice(len(self.known_u), number)]

    def theta(self, u):
        """Weights, one set for each row of u (n, u_dim)."""
        return self.model.generate(u) if self.u_dim else self.model.weights_for(u[:, None], None)[0]

    @tf.function(jit_compile=True, autograph=False)
    def _decode(self, u, z):
        return self.model.decode(z[:, None], self.theta(u)).mean()[:, 0]

    def decode(self, u, z):
        """Images (n, H, W, 1) of designs u (n, u_dim), z (n, z_dim)."""
        return self._decode(tf.cast(u, tf.float32), tf.cast(z, tf.float32)).numpy()

    @tf.function(jit_compile=True, autograph=False)
    def _encode(self, u, x):
        return self.model.encode(x, self.theta(u)).mean()[:, 0]

    def encode(self, u, x):
        """Posterior mean of z (z_dim,), within the box, of one image (H, W, 1) under theta(u), u (u_dim,)."""
        z = self._encode(tf.cast(u[None], tf.float32), tf.cast(x[None, None], tf.float32))[0].numpy()
        return np.clip(z.astype(np.float64), *self.z_box.T)

    @tf.function(jit_compile=True, autograph=False)
    def _fitted_u(self, x):
        return self.model.fit_q_u(x, self.fit_u, tf.zeros(2, tf.int32)).mean()[0]

    def infer_u(self, x):
        """u (u_dim,), within the box, of the set that holds one image (H, W, 1) alone.

        It is the posterior mean, or what `fit_u` steps make of it: then theta(u) codes the image shorter.
        """
        if not self.u_dim:
            return np.zeros(0)
        images = tf.cast(x[None, None], tf.float32)
        u = (self._fitted_u(images) if self.fit_u else self.model.infer_u(images).mean()[0]).numpy()
        return np.clip(u.astype(np.float64), *self.u_box.T)

    @tf.function(jit_compile=True, autograph=False)
    def _distance_and_gradient(self, u, z, target, scale):
        with tf.GradientTape() as tape:
            tape.watch([u, z])
            x = self.model.decode(z[None, None], self.theta(u[None])).mean()[0, 0] * scale
            distance = 1 - tf.reduce_sum(x * target) / (tf.norm(x) * tf.norm(target))
        return distance, tape.gradient(distance, [u, z], unconnected_gradients="zero")

    def descend(self, target, starts, u_is_free, scale=1.0):
        """The least distance to a target (H, W, 1) that gradient descent finds from some starts; a lower one may exist.

        Args:
            starts: designs [(u, z)]; L-BFGS-B runs from each of them.
            u_is_free: whether u moves too.
            scale: of designs and target, see `search.TargetSearch`.

        Returns:
            the cosine distance.
        """
        target, shape = tf.cast(target * scale, tf.float32), target.shape
        scale = tf.broadcast_to(tf.cast(scale, tf.float32), shape)  # one program serves every scale
        box = np.concatenate([self.u_box, self.z_box])

        def value_and_gradient(place):
            u, z = np.split(place.astype(np.float32), [self.u_dim])
            value, (by_u, by_z) = self._distance_and_gradient(tf.constant(u), tf.constant(z), target, scale)
            return float(value), np.concatenate([by_u * float(u_is_free), by_z]).astype(np.float64)

        ends = [
            minimize(value_and_gradient, np.concatenate(start), jac=True, method="L-BFGS-B", bounds=box)
            for start in starts
        ]
        return float(min(end.fun for end in ends))


def _widened(box, codes):
    """The box (dim, 2) with every code (n, dim) inside."""
    return np.stack([np.minimum(box[:, 0], codes.min(0)), np.maximum(box[:, 1], codes.max(0))], 1)
