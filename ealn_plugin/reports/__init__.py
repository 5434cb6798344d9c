"""From runs and evaluated models to tables, figures and the HTML page."""
