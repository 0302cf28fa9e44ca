"""Pictures in, categories out: the model being served, bulk work on staged pictures, the API, single files."""
