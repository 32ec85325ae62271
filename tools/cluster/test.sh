#!/usr/bin/env bash
# The Slurm and the Ray scripts on real programs of theirs: `./dev test-cluster` starts it as the first process of its
# own namespaces (network, processes, mounts), so that nothing outside is seen or touched, and all ends with it.
#
#   test.sh TOPREWARD PYTHON-WITH-RAY
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=$PWD/tools/cluster python=$2
# In memory, and seen here alone: the disk may be busy, and nothing is left on it. Short, for Ray's sockets.
work=$(mktemp -d /tmp/tc.XXXXXX)
mount -t tmpfs -o size=1g tmpfs "$work"
trap 'cd /; umount --lazy "$work"; rmdir "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/bin"
ln -s "$(realpath "$1")" "$work/bin/topreward"
export PATH=$work/bin:$PATH
parts=4
input=(--model "$PWD/models/so101-sim" --config "$PWD/config/so101_sim.yaml" --max-pixels 24576
  --bag "$PWD"/models/so101-sim/episodes/*.mcap)

say() { printf '  %s\n' "$*"; }
fail() { printf 'test-cluster: %s\n' "$*" >&2; exit 1; }

wait_until() { # SECONDS WHAT COMMAND...
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ "$SECONDS" -ge "$end" ]; then fail "$what did not come about"; fi
    sleep 0.05
  done
}

results_in() { find "$1/episodes" -name '*.json' 2>/dev/null | wc -l; }
begun() { [ "$(results_in "$1")" -ge 1 ]; }

# --- Slurm ----------------------------------------------------------------------------------------------------------

start_slurm() {
  local etc=$work/slurm node
  node=$(hostname -s)
  mkdir -p "$etc/state" "$etc/spool"
  dd if=/dev/urandom of="$etc/munge.key" bs=128 count=1 status=none
  chmod 400 "$etc/munge.key"
  cat >"$etc/slurm.conf" <<CONF
ClusterName=topreward
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
AuthInfo=socket=$etc/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
ReturnToService=2
MailProg=/bin/true
StateSaveLocation=$etc/state
SlurmdSpoolDir=$etc/spool
SlurmctldPidFile=$etc/slurmctld.pid
SlurmdPidFile=$etc/slurmd.pid
SlurmctldLogFile=$etc/slurmctld.log
SlurmdLogFile=$etc/slurmd.log
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
NodeName=$node NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=$node Default=YES State=UP
CONF
  export SLURM_CONF=$etc/slurm.conf
  munged --force --foreground --socket="$etc/munge.socket" --key-file="$etc/munge.key" --pid-file="$etc/munged.pid" \
    --seed-file="$etc/munged.seed" --log-file="$etc/munged.log" 2>"$etc/munged.err" &
  wait_until 10 "munged's socket" test -S "$etc/munge.socket"
  slurmctld -D 2>"$etc/slurmctld.err" &
  slurmd -D 2>"$etc/slurmd.err" &
  wait_until 30 "a node of Slurm that is idle" node_is_idle
}

node_is_idle() { [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; }
ended() { [ -z "$(squeue --noheader --jobs="$1" 2>/dev/null)" ]; }

score_by_slurm() {
  sbatch --parsable --array="0-$((parts - 1))" "$here/score.sbatch" "$parts" "$work/results" "${input[@]}"
}

merge_by_slurm() { # JOB: the merge's output in merge.txt
  local merge
  merge=$(sbatch --parsable --dependency="afterany:$1" --output=merge.txt "$here/merge.sbatch" "$work/results")
  wait_until 120 "the end of the array and its merge" ended "$merge"
}

test_slurm() {
  local array victim=$work/results/shards/0 first before missing
  start_slurm
  say "slurmctld and slurmd run after $SECONDS s"
  cd "$work"
  array=$(score_by_slurm)
  wait_until 120 "the first result of a task" begun "$victim"
  scancel --batch --signal=KILL "${array}_0"
  merge_by_slurm "$array"
  missing=$((parts - $(results_in "$victim")))
  if [ "$missing" -lt 1 ] || [ "$missing" -ge "$parts" ]; then fail "the task was not killed in the middle"; fi
  grep -q " $missing episodes are in no folder: [0-9]" merge.txt ||
    fail "the merge does not name the gap: $(cat merge.txt)"
  if [ -e "$work/results/merged" ]; then fail "something was merged in spite of the gap"; fi
  say "a task was killed; the merge says: $(cat merge.txt)"
  first=$(find "$victim/episodes" -name '*.json' | head -n 1)
  before=$(stat --format=%i "$first")
  array=$(score_by_slurm)
  rm merge.txt
  merge_by_slurm "$array"
  [ "$(stat --format=%i "$first")" = "$before" ] || fail "a result that was there has been scored again"
  diff -r "$work/whole" "$work/results/merged" || fail "the merged folder is not that of one run"
  say "the same array again: the merged folder equals one run, byte for byte"
  cd - >/dev/null
}

# --- Ray ------------------------------------------------------------------------------------------------------------

worker_of() { # PART: the process whose child scores it
  local program
  program=$(pgrep -f -- "^topreward score .*--shard $1/$parts") || return 1
  ps -o ppid= -p "$program" | tr -d ' '
}

test_ray() {
  local begin=$SECONDS ray status=0 victim=$work/ray/shards/1
  RAY_TMPDIR=$work RAY_USAGE_STATS_ENABLED=0 "$python" "$here/score_ray.py" "$parts" "$work/ray" "${input[@]}" >"$work/ray.txt" 2>&1 &
  ray=$!
  wait_until 120 "the first result of a Ray task" begun "$victim"
  kill -KILL "$(worker_of 1)"
  wait "$ray" || status=$?
  [ "$status" = 0 ] || fail "the Ray script ended with $status: $(tail -n 20 "$work/ray.txt")"
  grep -q -i "worker.*died\|died.*worker" "$work/ray.txt" || fail "Ray did not notice: $(tail -n 20 "$work/ray.txt")"
  topreward merge "$work/ray/shards"/* --out "$work/ray/merged" >/dev/null
  diff -r "$work/whole" "$work/ray/merged" || fail "Ray's merged folder is not that of one run"
  say "a Ray worker was killed: its part was tried again; equal to one run, byte for byte ($((SECONDS - begin)) s)"
}

ip link set lo up
# Ray looks for an address that is not the loopback's; this one, for documentation, leads nowhere.
ip address add 192.0.2.2/32 dev lo
ip route add default dev lo src 192.0.2.2
topreward score "${input[@]}" --out "$work/whole" >/dev/null
say "one run of 13 episodes: $SECONDS s"
test_slurm
test_ray
printf '2 passed, 0 failed, 0 skipped in %d s\n' "$SECONDS"
