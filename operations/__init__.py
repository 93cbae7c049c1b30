"""What an administrator asks of a stack besides `pulumi preview` and `pulumi up`: history, rollback, status."""
