"""A study of any number of views → one answer, learnt from the labels of whole studies."""
