"""The engine starts this folder as a plugin, with its own address as the argument."""

import sys

from components.package.provider import serve

serve(sys.argv[1:])
