"""Tables for people that several commands show: lines of text of at most 80 columns, made from results."""
