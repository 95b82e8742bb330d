"""Networks of stimuli that last: texts, sounds, videos. A reader per kind, and one backbone for all of them."""
