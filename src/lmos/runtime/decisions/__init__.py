"""The decision log: how every turn was decided, by which versions, and what came of it.

    turn -> Trail (what happens, as it happens) -> Recorder (behind the turn) -> Log (over a State)

A trail takes notes while the turn runs and costs it next to nothing. When the turn has ended the
recorder makes a `DecisionRecord` of it and writes that, in batches and bounded, so that neither a
slow nor an absent state delays a turn. Records live below their conversation and go with it;
beside them an index of the tenant's turns, newest first, leads to them. `replay` decides again what
was decided, with another router or table, and `shadow` does so while turns come in.
"""

from lmos.runtime.decisions.keeping import Log
from lmos.runtime.decisions.recording import Recorder
from lmos.runtime.decisions.settings import LogSettings
from lmos.runtime.decisions.shadow import Shadows, ShadowSettings
from lmos.runtime.decisions.trail import Trail

__all__ = ["Log", "LogSettings", "Recorder", "ShadowSettings", "Shadows", "Trail"]
