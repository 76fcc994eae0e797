"""Media files in and out: frames by timestamp, sound, loudness, and sound put under a picture."""
