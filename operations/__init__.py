"""What an administrator asks of a stack besides `pulumi preview` and `pulumi up`: the verbs of `media-store`."""
