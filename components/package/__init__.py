"""This package offers all of a stack as one component, for Pulumi programs in any language; see docs/package.md."""
