"""Files of other benchmark tools, read as runs: hyperfine, AIPerf, guidellm and vLLM's `bench serve`.

`read` tells the format of a file by its fields, and each format has a module that reads it into the nouns of
`benchmark`. `build` makes runs of these. A file may come from anybody: types, ranges and sizes are checked, and texts
are made safe.
"""
