"""What people are given, by groups, by values or by hand: projects, roles, teams, licences, seats."""
