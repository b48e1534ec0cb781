"""Where in the image a model looked."""
