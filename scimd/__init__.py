"""scimd keeps an organization's people, projects and roles true to the company directory."""

__version__ = "0.1.0"
