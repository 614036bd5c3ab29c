"""The consensus network as a transport: peers over libp2p, found, asked, listened to and served.

Comes with the extra ``lightclient[libp2p]``. Nothing of it is imported, and none of its libraries,
before it is used.
"""
