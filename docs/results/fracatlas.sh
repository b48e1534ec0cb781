#!/usr/bin/env bash
# The commands behind docs/results/fracatlas.md. Usage: docs/results/fracatlas.sh DATA OUT
# DATA is a folder with images/ and labels.csv (image, fractured, group, tags), as described on that page.
set -euo pipefail
data=$1
out=$2
osteon=${OSTEON:-.venv/bin/osteon}

$osteon ingest "$data/images" --labels "$data/labels.csv" --patient-column group --out "$out/ingest"
$osteon prepare "$out/ingest" --out "$out/prepared"
$osteon split "$out/prepared" --out "$out/split" --folds 5
$osteon features "$out/prepared" --out "$out/features"
$osteon train "$out/split" --features "$out/features" --out "$out/model"
$osteon evaluate "$out/model" --manifest "$out/split" --out "$out/report"
