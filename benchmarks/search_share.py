"""What searching costs an AutoProg run, over training and search together. Goal: at most 5 %, FLOPs and seconds."""

from __future__ import annotations

import torch

from autoprog_search import train
from benchmarks.record import record


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(1)
    row = train("digits", "digits", schedule="autoprog", seed=0)
    flops = row["search_flops"] / row["total_flops"]
    seconds = row["search_seconds"] / row["wall_seconds"]
    print(f"AutoProg on digits, {row['epochs']:.0f} epochs, depths {row['depths']}, resolutions {row['resolutions']}:")
    print(f"search is {100 * flops:.2f} % of the FLOPs and {100 * seconds:.2f} % of the seconds (goal <= 5 %)")
    print(record("search_share", flops_percent=100 * flops, seconds_percent=100 * seconds, depths=row["depths"]))


if __name__ == "__main__":
    main()
