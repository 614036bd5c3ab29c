"""Codecs of the consensus network without I/O: bytes in, events out, bytes to send back.

Req/resp (``protocols``, ``requests``, ``responses``), gossip payloads and topics (``gossip``), node
records (``enr``) and discovery (``discv5``). Nothing here opens a socket, reads a clock or draws a
random number by itself, and whatever comes in, the only error that comes out is DecodeError.
"""
