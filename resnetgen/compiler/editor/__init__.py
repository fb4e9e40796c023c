"""JSON Schemas (2020-12) of specs, for editors: what can be written where, and what it means.

    network_schema()["properties"]["doc"]  ->  {"description": "one line about it, ...", "type": ...}

`vocabulary` collects the names that a spec can use, `properties` describes the form of specs with
them, and `json_schema` puts both together into the schemas of whole files.

Written for yaml-language-server: `if` and `then` on the name of an `op` complete its arguments.
Non-goals: anything that depends on other parts of the file, such as what `inputs` may read, or on
arithmetic.
"""
