"""The command line program ``nimbus-light-client``, installed as ``lightclient_cli``."""
