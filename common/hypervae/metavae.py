"""MetaVAE (Choi et al. 2019) as the paper uses it: one inference network, one decoder for each task."""

import keras
import tensorflow as tf

from common.errors import InputError
from common.hypervae.vae import VAE


@keras.saving.register_keras_serializable(package="hypervae")
class MetaVAE(VAE):
    """Told the class of a task, it decodes with that class's decoder; it has none for an unseen class.

    Its encoder sees x alone, as Table 2's count says (the original also feeds it a summary of the task).

    Args:
        num_tasks: number of classes.
    """

    mixed_batches = False
    knows_tasks = True

    def __init__(self, num_tasks=10, **kwargs):
        self.num_tasks = num_tasks
        super().__init__(**kwargs)

    def create_weights(self):
        self.theta = self.add_theta(self.body.encoder_shapes())
        self.decoders = self.add_theta(self.body.decoder_shapes(), copies=self.num_tasks)

    def weights_for(self, x, labels, seed=None, mask=None):
        theta = {name: w.value for name, w in self.theta.items()}
        theta |= {name: tf.gather(w.value, labels) for name, w in self.decoders.items()}
        return theta, tf.zeros(x.shape[0])

    def own_theta(self):
        raise InputError("this model is told the class: give theta = model.weights_for(x, labels)[0]")

    def get_config(self):
        return {**super().get_config(), "num_tasks": self.num_tasks}
