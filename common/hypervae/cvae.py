"""A VAE that is told the class of an image: the plain rival of everything that learns tasks."""

import keras
import tensorflow as tf

from common.hypervae.metavae import MetaVAE


@keras.saving.register_keras_serializable(package="hypervae")
class CVAE(MetaVAE):
    """The class, one-hot, is one more input of the dense layers of encoder and decoder (Sohn et al. 2015).

    To a dense layer that is a bias of each class: where MetaVAE has a decoder for each class, this has two biases.

    Args:
        num_tasks: number of classes.
    """

    def create_weights(self):
        self.theta = self.add_theta(self.body.shapes())
        self.of_class = {
            name: self.add_weight((self.num_tasks, *shape), "zeros", name=f"{name.replace('/', '_')}_of_class")
            for name, shape in self.body.shapes().items()
            if name.endswith("dense/bias")
        }

    def weights_for(self, x, labels, seed=None, mask=None):
        theta = {name: w.value for name, w in self.theta.items()}
        theta |= {name: theta[name] + tf.gather(w.value, labels) for name, w in self.of_class.items()}
        return theta, tf.zeros(x.shape[0])
