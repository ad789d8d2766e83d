# What deploy.sh, destroy.sh and smoke.sh have in common: how they speak, how they ask about the stacks of an installation, and
# how they look after its apps. It is sourced, after `set -euo pipefail`.
# shellcheck shell=bash

# The order in which they are deployed; each takes what it needs from those before it.
# shellcheck disable=SC2034
readonly all_stacks=(data worker network sockets scaling alarms dashboard)

fail() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 1
}

say() {
  printf '%s: %s\n' "${0##*/}" "$1"
}

# Prints the comment at the head of the script, which is its help.
usage() {
  awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"
}

require() {
  command -v "$1" >/dev/null || fail "$1 is missing: $2"
}

# Finds the region where the AWS CLI would find it, and says it to whatever is called from here.
choose_region() {
  require aws 'install the AWS CLI'
  AWS_REGION=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
  [[ -n $AWS_REGION ]] || fail 'no region: set AWS_REGION'
  export AWS_REGION AWS_DEFAULT_REGION=$AWS_REGION
  # Nothing is to wait for a key to be pressed.
  export AWS_PAGER=
}

check_name() {
  [[ $1 =~ ^[a-z][a-z0-9-]{1,30}$ ]] ||
    fail "'$1' is no name: 2 to 31 lower-case letters, digits and hyphens, beginning with a letter"
}

# The status of the stack `$1`; nothing, if there is no such stack.
status_of() {
  aws cloudformation describe-stacks --stack-name "$1" --query 'Stacks[0].StackStatus' --output text 2>/dev/null || true
}

# The outputs `$2...` of the stack `$1`, a line `KEY=VALUE` each, as deployments take parameters.
outputs() {
  local stack=$1 all key value
  shift
  all=$(aws cloudformation describe-stacks --stack-name "$stack" \
    --query 'Stacks[0].Outputs[].[OutputKey,OutputValue]' --output text) || fail "the stack $stack cannot be read"
  for key in "$@"; do
    value=$(awk -F '\t' -v key="$key" '$1 == key { print key "=" $2; found = 1 } END { exit !found }' <<<"$all") ||
      fail "the stack $stack has no output $key"
    printf '%s\n' "$value"
  done
}

# The output `$2` of the stack `$1`.
output() {
  local line
  line=$(outputs "$1" "$2") || exit 1
  printf '%s\n' "${line#*=}"
}

account() {
  aws sts get-caller-identity --query Account --output text
}

# The bucket for the packages of the installation `$1`.
bucket_of() {
  printf '%s-socket-rush-%s-%s\n' "$1" "$(account)" "$AWS_REGION"
}

# So many random bytes, in hex.
random() {
  od -An -N "$1" -t x1 /dev/urandom | tr -d ' \n'
}

# Finds the program that looks after apps, if there is one, and says where in `program`.
find_program() {
  local candidate
  for candidate in "${SOCKET_RUSH_BIN:-}" socket-rush "${BASH_SOURCE[0]%/*}"/../target/{release,debug}/socket-rush; do
    if command -v "$candidate" >/dev/null; then
      program=$candidate
      return
    fi
  done
}

# The settings by which it finds the table of the installation.
store() {
  # shellcheck disable=SC2154 # Each script sets the name.
  printf '%s' "--app-manager dynamodb --dynamodb-table $name-apps --aws-region $AWS_REGION"
}

# Looks after the apps of the installation.
apps() {
  # shellcheck disable=SC2046 # They are words.
  "$program" apps "$@" $(store)
}
