"""Makes a release: data → model → numbers → card, as the files of `build/model/`."""
