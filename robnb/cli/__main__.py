"""``python -m robnb.cli`` is ``robnb``."""

import sys

from robnb.cli import main

sys.exit(main())
