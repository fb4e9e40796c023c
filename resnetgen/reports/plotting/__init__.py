"""The SVG kit: canvas and palette (`svg`), charts, scales of axes, widths of text."""
