"""Tools of the repository itself: the pages made from files, and the site. The package imports nothing from here."""
