"""python deploy/studies study | samplers | baselines | rationales | interventions: what methods are worth, on data.

Apart from the studies themselves, so that the process that cuts segments does not import what it has no use for.
"""

import importlib
import sys

STUDIES = ("study", "samplers", "baselines", "rationales", "interventions")

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in STUDIES:
        sys.exit(f"usage: python deploy/studies {{{','.join(STUDIES)}}} [-h] ...")
    sys.exit(importlib.import_module(sys.argv.pop(1)).main())
