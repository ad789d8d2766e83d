#!/usr/bin/env bash
# Takes a Socket Rush out of the AWS account of the environment's credentials.
#
#   infra/destroy.sh NAME [options]
#
# Apps, queue and dead letters stay, and the stack NAME-data with them, unless --with-data is given. Clients
# and backends are cut off at once.
#
#   --with-data   takes away everything, webhooks that wait included
#   --yes         does not ask
#   --help        prints this
#
# With AWS_ENDPOINT_URL it works on an emulator.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
# shellcheck source=infra/stacks.sh
. "$here/stacks.sh"

name='' with_data='' sure=''

read_arguments() {
  while (($#)); do
    case $1 in
      --help | -h) usage && exit ;;
      --with-data) with_data=yes ;;
      --yes) sure=yes ;;
      -*) fail "unknown option $1; --help lists them" ;;
      *)
        [[ -z $name ]] || fail "'$1' is one name too many"
        name=$1
        ;;
    esac
    shift
  done
  [[ -n $name ]] || fail 'the name of the installation is missing; --help says more'
  check_name "$name"
}

ask() {
  local answer
  [[ -z $sure ]] || return 0
  printf 'Take %s out of %s%s? Its name means yes: ' "$name" "$AWS_REGION" "${with_data:+, with its data}"
  read -r answer
  [[ $answer == "$name" ]] || fail 'nothing was done'
}

# Deletes the stack, if it is there, and waits until it is gone.
delete() {
  [[ -n $(status_of "$1") ]] || return 0
  say "deleting $1"
  aws cloudformation delete-stack --stack-name "$1"
  aws cloudformation wait stack-delete-complete --stack-name "$1"
}

# What deploy.sh makes beside the stacks: packages of the function, and images.
delete_artifacts() {
  local bucket
  bucket=$(bucket_of "$name")
  if aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1; then
    say "deleting the bucket $bucket"
    aws s3 rb --force "s3://$bucket" >/dev/null
  fi
  if aws ecr describe-repositories --repository-names "$name" >/dev/null 2>&1; then
    say "deleting the images of $name"
    aws ecr delete-repository --force --repository-name "$name" >/dev/null
  fi
}

# The stack leaves its things behind, so they are deleted by themselves.
delete_data() {
  local queue dead table url
  [[ -n $(status_of "$name-data") ]] || return 0
  queue=$(output "$name-data" QueueUrl)
  dead=$(output "$name-data" DeadLettersUrl)
  table=$(output "$name-data" TableName)
  delete "$name-data"
  say 'deleting the queues, and the apps'
  # For SQS, version 1 of the CLI wants to be told by an option where it is.
  for url in "$queue" "$dead"; do
    aws sqs delete-queue --queue-url "$url" ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"}
  done
  aws dynamodb update-table --table-name "$table" --no-deletion-protection-enabled >/dev/null
  aws dynamodb wait table-exists --table-name "$table"
  aws dynamodb delete-table --table-name "$table" >/dev/null
}

read_arguments "$@"
choose_region
ask
# Left over, if a try was cut off.
delete "$name-smoke"
for ((index = ${#all_stacks[@]} - 1; index > 0; index--)); do
  delete "$name-${all_stacks[index]}"
done
delete_artifacts
if [[ -n $with_data ]]; then
  delete_data
else
  say "$name-data stays; --with-data takes it away too"
fi
