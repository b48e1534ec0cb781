"""Models: backbones, feature banks, heads, training and bundles. torch lives here and in explain only."""
