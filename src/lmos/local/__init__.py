"""`lmos up`: the whole platform of a directory on one machine, in one command.

`Project` says what the directory holds. A `Worker` keeps each agent's process running and replaces
it when its files change. `Platform` composes the rooms: a directory store, the control plane that
describes agents and resolves channels in it, the runtime that routes turns, the page; all on one
port and one event loop. It is the same control plane and runtime that serve a cluster; only the
store and the way agents are started differ.
"""
