"""Executors of a study's cells: processes on this machine, or jobs of a Slurm cluster."""
