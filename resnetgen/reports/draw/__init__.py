"""A network as a static drawing: Measured -> Diagram (what) -> Figure, Layout (where) -> Page -> SVG.

from resnetgen.reports.draw.page import draw
draw(compiled.network, compiled.typed)  ->  '<?xml version="1.0" ...'
"""
