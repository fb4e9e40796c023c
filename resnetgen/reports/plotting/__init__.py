"""SVG: the canvas, scales and charts that every picture uses."""
