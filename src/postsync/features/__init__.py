"""Signal to numbers: spectrograms, envelopes, onsets. Plain torch functions without learned weights."""
