"""The bundled sequence network: `keyact.models` tcn on Penn Action."""
