#!/usr/bin/env bash
# same_bits_everywhere.sh PROGRAM [FAMILY]: instruction set, BLAS's choice of processor and number of
# threads do not change the bits.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job" rounds=3 width=64 family="\"${1:-gpt2}\""
swarm_of one
task=$(submit one "$folder/job")
finished one "$task"
digest=$(job_digest one "$task")
same "digests, 1 thread" "$digest" "$(node one job replay "$task" --threads 1 --json | json_text state_digest)"
same "digests, 2 threads" "$digest" "$(node one job replay "$task" --threads 2 --json | json_text state_digest)"
case $(uname -m) in
    x86_64) target=avx2 ;;
    *) target=neon ;;
esac
same "digests, $target" "$digest" "$(TEQUIO_SIMD=$target replayed one "$task")"
same "digests, OpenBLAS as on Haswell" "$digest" "$(OPENBLAS_CORETYPE=Haswell replayed one "$task")"
