#!/usr/bin/env bash
# Everything to be measured on a machine with a GPU, into one folder. About an hour on a large one.
#
#     benchmarks/gpu.sh DIR
#
# Needs the library with its extra `dev`, and trl and datasets for the comparison. It goes on after a part that fails and
# ends with that part's name and a status of 1.
set -u
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1" && out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
python -c "import torch, sys; sys.exit(not torch.cuda.is_available())" || { echo "$0: torch sees no GPU" >&2; exit 2; }
nvidia-smi > "$out/machine.txt"
failed=()

part() {
    local name=$1; shift
    echo "== $name: $*"
    "$@" 2>&1 | tee "$out/$name.log"
    [ "${PIPESTATUS[0]}" -eq 0 ] || failed+=("$name")
}

part tests env FAIL_WITHOUT_CUDA=1 python -m pytest -m needs_cuda -n 0 -q
part engine_small python benchmarks/engine.py --prompts 16
for tokens in 256 1024; do
    part "engine_4b_$tokens" python benchmarks/engine.py --size 4b --dtype bfloat16 --prompts 1 --side 448 --tokens $tokens
done
part step_small python benchmarks/grpo_step.py --device cuda --results "$out" \
    --points lora:8:448:64 lora:16:64:512:1 lora:8:224:512 lora:4:448:1024 lora:8:224:512:3:128
part step_4b python benchmarks/grpo_step.py --device cuda --size 4b --dtype bfloat16 --checkpointing on --results "$out" \
    --points lora:8:448:256 lora:8:448:1024

[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}; see $out" >&2; exit 1; }
echo "results are in $out"
