"""A network as a static drawing: `draw(network, typed)` -> an SVG file.

TypedInstance -> Diagram (`diagram`: what is drawn) -> Figure (`figure`: sized by `shapes`, arranged
by `layout`) -> page (`page`: stages, costs, panels, legend) -> SVG.
"""
