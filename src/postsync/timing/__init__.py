"""When does the picture sound? Motion without weights, and predictors that learn it."""
