#!/usr/bin/env bash
# Make the policy vla-table from nothing, on two CPU cores. Each command goes on where it was
# broken off. docs/results.md says how long they take and how good the result is.
set -euo pipefail
cd "$(dirname "$0")/.."
recipe=config/policies/vla-table
collect() { vla-ros collect --tasks all --output datasets/table "$@"; }
on_two_cores() { torchrun --nproc-per-node 2 -m vla_ros.cli train "$@"; }

collect --episodes 1012
vla-ros train $recipe/1_first.yaml --output runs/table-1
collect --episodes 360 --seed 500000 --policy runs/table-1
on_two_cores $recipe/2_corrected.yaml --base runs/table-1 --output runs/table-2
collect --episodes 350 --seed 600000 --policy runs/table-2
on_two_cores $recipe/3_offsets.yaml --base runs/table-2 --output runs/table-3
vla-ros train $recipe/4_polished.yaml --base runs/table-3 --output runs/vla-table
vla-ros eval --task all --policy runs/vla-table --episodes 100 --phrasings held_out
