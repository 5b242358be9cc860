"""What cannot run everywhere: libdatachannel's package needs Python 3.12."""

from __future__ import annotations

import sys

collect_ignore_glob = ["test_libdatachannel*.py"] if sys.version_info < (3, 12) else []
