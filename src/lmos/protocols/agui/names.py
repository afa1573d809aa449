"""The names of our custom events, and of what a caller may forward. Pure."""

AGENT, DECISION, STATUS = "lmos.agent", "lmos.decision", "lmos.status"
CONTEXT, INPUT_REQUIRED, HANDOVER = "lmos.context", "lmos.input_required", "lmos.handover"

#: The key of a turn's context under which an agent asks for an approval, and of the system context
#: under which the next turn gives it.
APPROVAL, APPROVED, DENIED = "approval", "approved", "denied"
#: The key of `forwardedProps` that says who is speaking; the others go to the system context.
USER = "userId"
