//! Named volumes: a folder each under `volumes/NAME/data`, with `volume.json` beside it.
