"""A heap of images that nobody has sorted: a HyperVAE finds the tasks in it by itself, and pays for all of it.

k-means of single images' u gives groups; then, in turn, each group's theta comes from q(u|group), and each image goes
to the group that codes it shortest. A receiver needs u of each group, its number of images, and for each image which
group it is in: KL(u_k), ln(N + 1), and -ln p_k an image. The last can be had back in part ("bits back"): an image that
two groups code alike chooses between them by other bits of the message. What is reported comes from other draws than
those that sorted, with u drawn from q(u|group), since KL(u) is the price of a draw. It is counted as everywhere in
Table 1; no file of that length is written.
"""

import numpy as np
import tensorflow as tf
from sklearn.cluster import KMeans

from common.hypervae import density
from common.hypervae.found_tasks import RESTARTS
from common.hypervae.task_mixture import MIXTURE_SAMPLES, Coder, TaskMixture

ROUNDS = 4  # of sorting anew
BLOCK = 500  # images that are encoded together


def single_codes(model, x):
    """Mean of q(u|{x}) of each image x (N, H, W, 1), each as a task of its own: (N, hyper_latent_dim)."""
    parts = [tf.cast(x[i : i + BLOCK, None], tf.float32) for i in range(0, len(x), BLOCK)]
    return np.concatenate([model.infer_u(part).mean().numpy() for part in parts])


class Heap:
    """Images grouped by a HyperVAE.

    Attributes, after `group`:
        assigned: (N,), which group each image is in.
        lengths: (K, N), -ELBO of each image under each group's VAE, nats.
        shares: (K,), of the groups' images.
        kl_u: (K,), nats a group.
    """

    def __init__(self, model, x, seed=0, num_samples=MIXTURE_SAMPLES, compiled=True):
        self.model, self.x, self.seed, self.num_samples = model, x, seed, num_samples
        self._coder = Coder(model.body, compiled)

    def group(self, number, rounds=ROUNDS):
        """Sort the images into at most `number` groups; empty ones are left out. Returns self."""
        codes = single_codes(self.model, self.x)
        number = min(number, len(np.unique(codes, axis=0)))
        self.assigned = KMeans(number, n_init=RESTARTS, random_state=self.seed).fit_predict(codes)
        for _ in range(rounds):
            self._code(self.seed)
            self.assigned = (self.lengths - np.log(self.shares)[:, None]).argmin(0)
        self._code(self.seed + 1, draw_u=True)
        return self

    def _code(self, seed, draw_u=False):
        """Lengths, shares and KL(u) of the groups as they are."""
        kept, self.assigned = np.unique(self.assigned, return_inverse=True)
        groups = [self.model.infer_u(tf.cast(self.x[self.assigned == k][None], tf.float32)) for k in range(len(kept))]
        self.shares = np.bincount(self.assigned) / len(self.x)
        self.kl_u = np.concatenate([density.kl_to_prior(q).numpy() for q in groups])
        codes = [q.sample(seed=tf.constant([seed, k])) if draw_u else q.mean() for k, q in enumerate(groups)]
        theta = self.model.generate(tf.concat(codes, 0))
        mixture = TaskMixture(theta, self.shares, self._coder)
        self.lengths = mixture.code_lengths(self.x, seed, self.num_samples)
        self._bits_back = mixture.mixed(self.lengths)

    def nats(self, bits_back=True):
        """Nats an image with everything paid for: the images, which group each is in, u and size of each group."""
        if bits_back:
            images = self._bits_back.mean()
        else:
            own = self.lengths[self.assigned, np.arange(len(self.x))]
            images = (own - np.log(self.shares[self.assigned])).mean()
        sizes = len(self.shares) * np.log(len(self.x) + 1)
        return float(images + (self.kl_u.sum() + sizes) / len(self.x))
