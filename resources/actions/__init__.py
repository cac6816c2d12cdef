"""One action a file or family; the table of all of them is in ``registry``."""
