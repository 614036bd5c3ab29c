"""The simulated chain on the consensus network: peers on real sockets, of which some misbehave.

Needs the extra ``[libp2p]``; nothing is imported from here but by who uses it.
"""
