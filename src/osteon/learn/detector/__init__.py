"""A detector that learns from labels and from boxes: the network, its training, its cross-validation."""
