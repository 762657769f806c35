"""Every setting of the program: its default, its range, its meaning and where the default comes from.

One file for each section of a recipe (data, model, training, decide), one for each of the other settings (score,
augment, judge), and ``recipe``, which puts the sections together. Settings are frozen, and an unknown key is an error.
This is the one home of defaults: no option, recipe or page repeats one. ``load`` reads and writes TOML.
"""
