"""Many samples: a recipe as a value, a folder of samples, tables of many recipes."""
