"""scimd keeps an organization's people, projects and roles true to the company directory."""
