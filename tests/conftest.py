"""What every test may use."""

import os

# Tests decide the model themselves; keys or settings of the developer's shell must not.
for name in [n for n in os.environ if n.startswith("LMOS_") or n.endswith("_API_KEY")]:
    if name != "LMOS_BENCH_DATA":
        del os.environ[name]
