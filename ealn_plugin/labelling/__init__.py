"""Views of unlabelled images: the classifier that predicts them, and the files it writes."""
