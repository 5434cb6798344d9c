"""Views of images that nobody has labelled: the classifier that predicts them, and the files it writes."""
