"""A bundle: the folder that holds all a decision needs. Evaluation, scoring, service and review take nothing else."""
