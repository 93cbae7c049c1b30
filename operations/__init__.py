"""This package has the verbs of `media-store`, which are asked of a stack besides `pulumi preview` and `pulumi up`."""
