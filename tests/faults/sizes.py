"""How much of everything? CI size is for every change, night size (FAULTS_SIZE=night, `make soak`) for the night."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    jobs: int
    kills: int
    postgres_jobs: int
    postgres_kills: int
    stops: int
    clock_jumps: int
    database_restarts: int
    terminated_backends: int
    lock_s: float
    tree_files: int
    soak_s: float
    kills_of_each: int
    examples: int
    steps: int


CI = Size(
    jobs=2000,
    kills=100,
    postgres_jobs=500,
    postgres_kills=25,
    stops=10,
    clock_jumps=6,
    database_restarts=3,
    terminated_backends=6,
    lock_s=3,
    tree_files=20_000,
    soak_s=60,
    kills_of_each=5,
    examples=60,
    steps=30,
)
NIGHT = Size(
    jobs=20_000,
    kills=1000,
    postgres_jobs=20_000,
    postgres_kills=1000,
    stops=200,
    clock_jumps=60,
    database_restarts=30,
    terminated_backends=300,
    lock_s=30,
    tree_files=1_000_000,
    soak_s=1800,
    kills_of_each=50,
    examples=20_000,
    steps=100,
)
SIZE = {"ci": CI, "night": NIGHT}[os.environ.get("FAULTS_SIZE", "ci")]
