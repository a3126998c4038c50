"""The plain VAE of a user's new task, of a few of its images: fitted, exported as a Keras file, and what it samples."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from common.cli import refuse_several
from common.data.datasets import binarize_each
from common.data.fingerprints import fingerprint
from common.data.readers import check_size, in_channels_of
from common.errors import InputError
from common.hypervae import outliers, pretrained
from common.hypervae.adaptation import tuning_steps_for
from common.hypervae.options import chosen_models, has_levels
from common.hypervae.runs import refuse_unfollowed, settings_for, trained
from common.hypervae.task_sources import load_with_tasks
from common.hypervae.vae import VAE
from common.runs import identity
from common.runs.storage import write_atomically

SAMPLING_SEED = 1


@dataclass(frozen=True)
class NewVAE:
    """A plain VAE, the name of the data that its HyperVAE knows, what was used in words, and a digest of it all."""

    vae: VAE
    name: str
    words: str
    digest: str

    def samples(self, number):
        """Grey levels of images that it draws, (number, H, W, 1) in [0, 1]: p(x|z) of draws of z."""
        z = tf.random.stateless_normal((number, self.vae.body.latent_dim), (SAMPLING_SEED, 0))
        return self.vae.pictures(z).numpy()

    def export(self, path):
        """Write it as a .keras file, which keras.models.load_model reads after `import common.hypervae.vae`."""
        write_atomically(path, self.vae.save, "give --export another path")


def adapted(args, pile):
    """The NewVAE of images of one task.

    Args:
        args: options of 01, with pretrained, fit_steps and tuning_steps; pile: images (N, H, W, 1) uint8, 0 to 255.

    Raises:
        InputError: several data sets or seeds, a model other than HyperVAE, images of another size.
    """
    if args.pretrained:
        card = pretrained.model_card(args.pretrained)
        shape, name, known = tuple(card["image_shape"]), args.pretrained, card["weights_sha256"]
    else:
        refuse_several("--adapt", dataset=args.dataset, seed=args.seeds, recipe=args.recipe)
        if chosen_models(args, ["hypervae"]) != ("hypervae",):
            raise InputError("--adapt is HyperVAE's: leave --model out")
        data = load_with_tasks(args, args.dataset[0])
        settings = settings_for(args, data, "hypervae", args.recipe[0], args.seeds[0])
        refuse_unfollowed(args, [settings])
        shape, name, known = data.image_shape, data.name, settings.digest
    pile = in_channels_of(shape, pile)
    check_size(f"images to adapt to and those of {name}", pile.shape[1:], shape)
    model = pretrained.load_pretrained(name) if args.pretrained else trained(args, settings, data).model
    x = pile if has_levels(args) else binarize_each(pile, args.binarize)
    tuning_steps = tuning_steps_for(len(x)) if args.tuning_steps is None else args.tuning_steps
    steps = {"fit_steps": args.fit_steps, "tuning_steps": tuning_steps}
    vae = model.adapt(x, **steps)
    before, after = (_nats(own, x) for own in (model.vae_for(x), vae))
    words = (
        f"HyperVAE of {name}, {len(x)} images: u fitted in {args.fit_steps} steps, then all weights tuned in "
        f"{tuning_steps}; -ELBO of these images {before:.1f} nats at q(u)'s mean, {after:.1f} now"
    )
    digest = identity.digest({"model": known, "images": fingerprint(x), **steps})
    return NewVAE(vae, name, words, digest)


def _nats(vae, x):
    """-ELBO of images (N, H, W, 1), nats an image, KL(u) left out."""
    lengths = outliers.image_statistics(vae, shared_noise=True)(x, (SAMPLING_SEED, 1))
    return float(np.mean(lengths["reconstruction"] + lengths["kl_z"]))
