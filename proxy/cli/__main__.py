"""`python -m proxy.cli`, as `couch-tailor`."""

import sys

from proxy.cli import main

sys.exit(main())
