#!/usr/bin/env bash
# Snakemake runs this in the new environment. Same packages and reasons as in requirements-openmmlab.txt.
set -euo pipefail
python -m pip install --no-deps --no-build-isolation mmdet==3.3.0 mmpose==1.3.2 mmcv-lite==2.1.0 rtmlib==0.0.16
