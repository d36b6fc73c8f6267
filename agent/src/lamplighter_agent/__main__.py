"""`python -m lamplighter_agent`."""

import sys

from lamplighter_agent.app.cli import main

sys.exit(main())
