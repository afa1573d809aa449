"""What the agents of a channel share: values of a conversation, of a user, of a tenant.

    turn begins -> SharedMemory.read -> Sharing: what each agent may read goes with its turn
                                     <- what an agent shares, under its own name
    turn is answered -> Sharing.keep

A turn that fails keeps nothing, as it is not remembered either. An agent writes for the
conversation or the user that it answers, never for a whole tenant: that is for operators, over the
API.
"""

from lmos.runtime.memory.keeping import Place, SharedMemory, Values
from lmos.runtime.memory.sharing import Sharing

__all__ = ["Place", "SharedMemory", "Sharing", "Values"]
