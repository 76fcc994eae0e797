"""The contracts of systems, pipelines, guides, codecs and objectives; no model code."""
