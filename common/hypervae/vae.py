"""The main VAE: one Keras model; what differs between VAE, MetaVAE and HyperVAE is `weights_for`."""

import keras
import tensorflow as tf

from common.hypervae import density
from common.hypervae.bodies import BODIES
from common.layers.kernels import initializer, single_theta

# Of a training step, nats an image; but KL(u), which is a task's, is not shared by its images.
MEASURES = ("neg_elbo", "reconstruction", "kl_z", "kl_u_of_task")


@keras.saving.register_keras_serializable(package="hypervae")
class VAE(keras.Model):
    """A plain VAE (section 2): its weights theta are its own, the same for every task.

    Args:
        image_shape: (H, W, channels); pixels are 0 or 1, by some bodies 0 to 255.
        latent_dim: dimensions of z.
        seed: of the draws of z in training; step k of a run always draws the same.
        kl_warmup: iterations over which the weight of both KL terms in the gradient rises from 0 to 1 (Sonderby
            et al. 2016). Without it units of z and u die before the decoders have learned to use them.
        body: the networks' kind, one of BODIES: "conv" or "resnet" for binary images, "matrix" for phase diagrams.
        hidden: units of its dense layers (100).
    """

    mixed_batches = True  # trained on the whole set; its subclasses on one class a task
    has_u = False  # whether theta comes from a code u of a task
    knows_tasks = False  # whether it has several VAEs, of the tasks of its training

    def __init__(self, image_shape=(28, 28, 1), latent_dim=10, seed=0, kl_warmup=0, body="conv", hidden=None, **kwargs):
        super().__init__(**kwargs)
        self.body_name, self.body = body, BODIES[body](image_shape, latent_dim, hidden)
        self.seed, self.kl_warmup = seed, kl_warmup
        self.trackers = {name: keras.metrics.Mean(name=name) for name in MEASURES}
        self.create_weights()
        self.built = True

    def create_weights(self):
        self.theta = self.add_theta(self.body.shapes())

    def add_theta(self, shapes, copies=None):
        """Variables for a dictionary of weight shapes; with `copies`, that many sets on a first axis."""
        lead = () if copies is None else (copies,)
        return {
            name: self.add_weight(shape=lead + shape, name=name.replace("/", "_"), initializer=initializer(name))
            for name, shape in shapes.items()
        }

    def weights_for(self, x, labels, seed=None, mask=None):
        """The weights theta for a batch of tasks, and what they cost.

        Args:
            x: images (tasks, images, H, W, 1) float32; labels: classes (tasks,), used by MetaVAE alone.
            seed: stateless seed of the training draws; None in evaluation.
            mask: which images are real, (tasks, images) bool; None means all.

        Returns:
            theta (dictionary of weights) and KL(q(u|D) || p(u)), nats a task, shape (tasks,).
        """
        return {name: w.value for name, w in self.theta.items()}, tf.zeros(x.shape[0])

    def coded(self, shape, seed):
        """Which images of a training step's tasks, of `shape` (tasks, images), are coded: None for all, or 0 and 1."""

    def encode(self, x, theta=None):
        """q(z|x, theta), a TFP distribution, for images (..., H, W, 1); theta defaults to the model's own."""
        theta = self.own_theta() if theta is None else theta
        return density.posterior(*self.body.encode(theta, tf.cast(x, tf.float32)))

    def decode(self, z, theta=None):
        """p(x|z, theta), a TFP distribution over (..., H, W, 1)."""
        return self.body.likelihood(self.body.decode(self.own_theta() if theta is None else theta, z))

    def pictures(self, z, theta=None):
        """Means of p(x|z, theta) as grey levels in [0, 1], (..., H, W, channels), for codes z (..., latent_dim)."""
        return self.decode(z, theta).mean() / self.body.white

    def own_theta(self):
        """The weights theta, {name: tensor}, of a model that needs no task to have them; HyperVAE's: a black image's.

        Raises:
            InputError: the model is told the class.
        """
        return self.weights_for(tf.zeros((1, 1) + self.body.image_shape), None)[0]

    def plain_vae(self, theta):
        """A plain VAE of the same networks with weights theta of one task, {name: (1, ...) or (...)}."""
        vae = VAE(self.body.image_shape, self.body.latent_dim, self.seed, body=self.body_name, hidden=self.body.hidden)
        for name, value in single_theta(theta, self.body.shapes()).items():
            vae.theta[name].assign(value)
        return vae

    def call(self, x):
        """Reconstruction: mean of the pixels at the posterior mean of z."""
        return self.decode(self.encode(x).mean()).mean()

    @tf.autograph.experimental.do_not_convert  # traced in half the time; nothing here branches on tensors
    def train_step(self, batch):
        """One gradient step on Eq. 9, averaged over tasks; images (tasks, images, H, W, 1)."""
        images, labels = batch
        x = tf.cast(images, tf.float32)
        step = tf.stack([self.seed, tf.cast(self.optimizer.iterations.value, tf.int32)])
        seed_u, seed_z = tf.unstack(tf.random.split(step, 2))
        with tf.GradientTape() as tape:
            theta, kl_u_of_task = self.weights_for(x, labels, seed_u)
            # |D| of Eq. 9 is the mini-batch: a task's few images here stand for one of that size.
            share = kl_u_of_task[:, None] / (x.shape[0] * x.shape[1])
            lengths = density.code_length(self.body, theta, x, seed_z, share)
            coded = self.coded(x.shape[:2], seed_u)
            done = tf.cast(self.optimizer.iterations.value, tf.float32) / max(1, self.kl_warmup)
            weight = tf.minimum(done, 1.0) if self.kl_warmup else 1.0
            weighted = lengths.reconstruction + weight * (lengths.kl_z + lengths.kl_u)
            loss = tf.reduce_mean(weighted) if coded is None else tf.reduce_sum(coded * weighted) / tf.reduce_sum(coded)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        for name in MEASURES[:-1]:
            self.trackers[name].update_state(getattr(lengths, name), coded)
        self.trackers["kl_u_of_task"].update_state(kl_u_of_task)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    @property
    def metrics(self):
        return list(self.trackers.values())

    def parameter_counts(self):
        """Trainable parameters as {"inference": n, "generative": n} (Table 2)."""
        counts = {"inference": 0, "generative": 0}
        for variable in self.trainable_variables:
            # A generated encoder's weights are named after it in their path alone; those that pool a set are q(u|D)'s.
            infers = variable.name.startswith("encoder") or variable.path.startswith("encoder_pooling")
            counts["inference" if infers else "generative"] += int(variable.shape.num_elements())
        return counts

    def get_config(self):
        return {
            "image_shape": self.body.image_shape,
            "latent_dim": self.body.latent_dim,
            "seed": self.seed,
            "kl_warmup": self.kl_warmup,
            "body": self.body_name,
            "hidden": self.body.hidden,
            "name": self.name,
        }
