#!/usr/bin/env bash
# Crash a script at every file boundary and judge what its resume comes back with (ckpt-chaos).
#
#   examples/chaos/chaos.sh gpt|trainer|background|torn WORK [POINTS]
#
# WORK is a new folder; POINTS bounds how many crash points are tried (default: all there are).
set -euo pipefail
cd "$(dirname "$0")/../.."
what=$1 work=$2 points=${3:-10000}
python=${PYTHON:-python}
chaos=${CHAOS:-ckpt-chaos}
export OMP_NUM_THREADS=1 # two processes on two cores, and the same sums in both

modes=before,torn,term resume=() result=result.json
case $what in
gpt | torn)
    result=final.pt
    command=("$python" examples/nanogpt/resumable.py --out '{out}' --max_iters 2
        --eval_interval 1 --eval_iters 1 --n_embd 32 --n_layer 2 --block_size 32 --batch_size 4)
    ;;&
trainer | background)
    command=("$python" examples/chaos/trainer.py --out '{out}' --epochs 2 --samples 16)
    ;;&
background) command+=(--background) ;;
torn) # what the crashed save was writing is cut in half before the resume
    modes=before
    resume=(--resume-cmd "$python examples/chaos/tear.py {out} ${command[*]}")
    ;;
gpt | trainer) ;;
*)
    sed -n '2,6p' "$0" >&2
    exit 2
    ;;
esac

exec "$chaos" run --work "$work" --jobs "${JOBS:-2}" --max-points "$points" --modes "$modes" \
    --result-file "{out}/$result" \
    --checkpoint-glob '{out}/*/checkpoints/checkpoint_step_*' --ckpt-ignore-size \
    --step-regex 'resumed from .*, step (\d+)' \
    --fail-on HARD_FAIL,SILENT_DIVERGENCE,LOST_WORK,CONTROL_FAIL \
    ${resume[@]+"${resume[@]}"} -- "${command[@]}"
