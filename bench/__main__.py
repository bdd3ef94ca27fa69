"""`python -m bench`: see README.md beside this."""

import sys

from bench.command import main

sys.exit(main())
