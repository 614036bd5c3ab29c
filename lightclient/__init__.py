"""An Ethereum consensus light client."""
