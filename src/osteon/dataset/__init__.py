"""From a folder of files to training images and honest splits."""
