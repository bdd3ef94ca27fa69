"""`python -m bench`: see README.md in this directory."""

import sys

from bench.command import main

sys.exit(main())
