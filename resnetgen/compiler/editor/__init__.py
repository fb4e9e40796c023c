"""JSON Schemas (2020-12) of specs, for editors: what can be written where, and what it means.

    network_schema()["properties"]["doc"]  ->  {"description": "a line about it; ...", "type": ...}

Layers say ever more, each only where it holds:

    form      keys and values, from the pydantic models; attributes of ops, from their table
    whole     what has to be there: in a file that extends nothing
    library   arguments of known blocks: in a file that gives their names to no block of its own
    ambient   misspelt arguments of `conv` and its like: where what they are bound to is known

Written for yaml-language-server: `if` and `then` by the name of an `op` complete its arguments.
Non-goals: what depends on other places, such as what `inputs` may read, or on arithmetic.
"""
