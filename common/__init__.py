"""HyperVAE: variational hyper-encoding networks (Nguyen et al., ECML PKDD 2021)."""
