"""From a feed's frames to `NewPool`: prefilter, emitter check, decode, count what is dropped."""
