#!/usr/bin/env bash
# Make the policy vla-table from nothing, on two CPU cores. Each command goes on where it was
# broken off. docs/results.md says how long they take and how good the result is.
set -euo pipefail
cd "$(dirname "$0")/.."
recipe=config/policies/vla-table
collect() { vla-ros collect --output datasets/table "$@"; }
on_two_cores() { torchrun --nproc-per-node 2 -m vla_ros.cli train "$@"; }
polish() { vla-ros train $recipe/6_polished.yaml --force --base "$1" --output "$2"; }

collect --tasks all --episodes 1012
vla-ros train $recipe/1_first.yaml --output runs/table-1
collect --tasks all --episodes 360 --seed 500000 --policy runs/table-1
on_two_cores $recipe/2_corrected.yaml --base runs/table-1 --output runs/table-2
collect --tasks all --episodes 350 --seed 600000 --policy runs/table-2
on_two_cores $recipe/3_offsets.yaml --base runs/table-2 --output runs/table-3
vla-ros train $recipe/4_polished.yaml --base runs/table-3 --output runs/table-4
collect --tasks put,pick --episodes 260 --seed 700000 --policy runs/table-4
collect --tasks all --episodes 240 --seed 710000 --policy runs/table-4
on_two_cores $recipe/5_words.yaml --base runs/table-4 --output runs/table-5
collect --tasks put,pick --episodes 330 --seed 720000 --policy runs/table-5
collect --tasks all --episodes 180 --seed 730000 --policy runs/table-5
polish runs/table-5 runs/table-6
collect --tasks push --episodes 170 --seed 740000 --policy runs/table-6
collect --tasks put,push --episodes 130 --seed 750000 --policy runs/table-6
polish runs/table-6 runs/table-7
collect --tasks put --episodes 420 --seed 760000 --policy runs/table-7
on_two_cores $recipe/5_words.yaml --base runs/table-7 --output runs/table-8
polish runs/table-8 runs/table-9
collect --tasks put --episodes 300 --seed 770000 --policy runs/table-9
polish runs/table-9 runs/table-10
collect --tasks put --episodes 320 --seed 780000 --policy runs/table-10
polish runs/table-10 runs/table-11
collect --tasks put,push --episodes 240 --seed 790000 --policy runs/table-11
polish runs/table-11 runs/vla-table
vla-ros eval --task all --policy runs/vla-table --episodes 100 --phrasings held_out
