#!/usr/bin/env bash
# Puts a Socket Rush into the AWS account of the environment's credentials, or brings one up to date.
#
#   infra/deploy.sh NAME [options]
#
# NAME is that of the installation; its stacks are NAME-data, NAME-worker, NAME-network, NAME-sockets, NAME-scaling,
# NAME-alarms and NAME-dashboard. What an option does not say stays as it is, or is the default at the first time. A
# second run with nothing new changes nothing.
#
#   --size small|medium|large    how large the nodes and their Valkey are, and how many (at first: small)
#   --certificate ARN            certificate of the load balancer; without one it speaks plain HTTP
#   --architecture arm64|x86_64  processor of nodes and function (at first: arm64)
#   --email ADDRESS              who is told of alarms
#   --standard-queue             a queue that may mix up the order of webhooks; only at the first time
#   --topic                      has webhooks go through a topic, to which others can subscribe
#   --vpc ID --public-subnets ID,ID --private-subnets ID,ID
#                                takes these instead of a network of its own
#   --image IMAGE                runs this image instead of building one
#   --worker-zip FILE            takes this package of the function instead of building one
#   --stacks STACK,STACK         deploys only these, in the order of the list above
#   --set STACK.PARAMETER=VALUE  sets any parameter of a template, such as --set sockets.LogLevel=debug
#   --help                       prints this
#
# It needs the AWS CLI, and Docker with Buildx for what it is to build. A first app is made by the program itself: the one that
# SOCKET_RUSH_BIN names, or the first of its kind on the PATH or in target/. With AWS_ENDPOINT_URL it deploys to an emulator.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
# shellcheck source=infra/stacks.sh
. "$here/stacks.sh"

name='' size='' certificate='' architecture='' email='' image='' worker_zip=''
vpc='' public_subnets='' private_subnets='' standard_queue='' topic=''
stacks=("${all_stacks[@]}")
settings=()
queues='' function='' nodes='' program=''

read_arguments() {
  while (($#)); do
    case $1 in
      --help | -h) usage && exit ;;
      --standard-queue) standard_queue=yes && shift && continue ;;
      --topic) topic=yes && shift && continue ;;
      --*) (($# > 1)) || fail "$1 needs a value" ;;
      *)
        [[ -z $name ]] || fail "'$1' is one name too many"
        name=$1 && shift && continue
        ;;
    esac
    case $1 in
      --size) size=$2 ;;
      --certificate) certificate=$2 ;;
      --architecture) architecture=$2 ;;
      --email) email=$2 ;;
      --image) image=$2 ;;
      --worker-zip) worker_zip=$2 ;;
      --vpc) vpc=$2 ;;
      --public-subnets) public_subnets=$2 ;;
      --private-subnets) private_subnets=$2 ;;
      --stacks) IFS=, read -ra stacks <<<"$2" ;;
      --set) settings+=("$2") ;;
      *) fail "unknown option $1; --help lists them" ;;
    esac
    shift 2
  done
}

# What cannot be is said before anything is made.
check_arguments() {
  [[ -n $name ]] || fail 'the name of the installation is missing; --help says more'
  check_name "$name"
  [[ $size =~ ^(small|medium|large|)$ ]] || fail "--size is small, medium or large, not '$size'"
  [[ $architecture =~ ^(arm64|x86_64|)$ ]] || fail "--architecture is arm64 or x86_64, not '$architecture'"
  local stack setting given=0
  for stack in "${stacks[@]}"; do
    [[ " ${all_stacks[*]} " == *" $stack "* ]] || fail "there is no stack '$stack'"
  done
  for setting in ${settings[@]+"${settings[@]}"}; do
    stack=${setting%%.*}
    [[ $setting == ?*.?*=* && " ${all_stacks[*]} " == *" $stack "* ]] ||
      fail "--set takes STACK.PARAMETER=VALUE, not '$setting'"
  done
  for setting in "$vpc" "$public_subnets" "$private_subnets"; do
    [[ -z $setting ]] || ((given += 1))
  done
  ((given == 0 || given == 3)) || fail '--vpc, --public-subnets and --private-subnets belong together'
  [[ -z $worker_zip || -f $worker_zip ]] || fail "there is no file $worker_zip"
}

wants() {
  [[ " ${stacks[*]} " == *" $1 "* ]]
}

# Deploys the stack `$1` with the parameters `$2...`, those of its size and those of --set. One without a value is left
# out: it keeps the value that it has.
deploy() {
  local stack=$1 parameters=() setting status
  shift
  status=$(status_of "$name-$stack")
  # A stack whose creation failed cannot be deployed again before its remains are gone.
  if [[ $status == ROLLBACK_COMPLETE ]]; then
    say "deleting the remains of $name-$stack"
    aws cloudformation delete-stack --stack-name "$name-$stack"
    aws cloudformation wait stack-delete-complete --stack-name "$name-$stack"
    status=''
  fi
  # The only one that needs no name of its own.
  [[ $stack == scaling ]] || set -- "Name=$name" "$@"
  # shellcheck disable=SC2046 # They are words.
  [[ -n $status && -z $size ]] || set -- "$@" $(size_of "$stack" "${size:-small}")
  for setting in "$@"; do
    [[ $setting == *= ]] || parameters+=("$setting")
  done
  for setting in ${settings[@]+"${settings[@]}"}; do
    [[ $setting != "$stack".* ]] || parameters+=("${setting#*.}")
  done
  say "deploying $name-$stack"
  aws cloudformation deploy --stack-name "$name-$stack" --template-file "$here/$stack.yaml" \
    --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --tags "socket-rush=$name" \
    ${parameters[@]+--parameter-overrides "${parameters[@]}"}
}

# Prints what the size `$2` means for the stack `$1`.
size_of() {
  case $2.$1 in
    small.worker) echo MaximumConcurrency=5 ;;
    medium.worker) echo MaximumConcurrency=20 ;;
    large.worker) echo MaximumConcurrency=100 ;;
    small.network) echo Outbound=nat ;;
    medium.network | large.network) echo Outbound=endpoints ;;
    small.sockets) echo Cpu=512 Memory=1024 CacheNodeType=cache.t4g.small ;;
    medium.sockets) echo Cpu=1024 Memory=2048 CacheNodeType=cache.m7g.large ;;
    large.sockets) echo Cpu=2048 Memory=4096 CacheNodeType=cache.m7g.xlarge ;;
    small.scaling) echo MinNodes=2 MaxNodes=4 ConnectionsPerNode=5000 ;;
    medium.scaling) echo MinNodes=3 MaxNodes=12 ConnectionsPerNode=15000 ;;
    large.scaling) echo MinNodes=6 MaxNodes=40 ConnectionsPerNode=15000 ;;
    small.alarms) echo MinNodes=2 ;;
    medium.alarms) echo MinNodes=3 ;;
    large.alarms) echo MinNodes=6 ;;
  esac
}

# What is there keeps its processor, unless another one is asked for.
choose_architecture() {
  [[ -z $architecture ]] || return 0
  architecture=$(aws cloudformation describe-stacks --stack-name "$name-worker" --output text \
    --query "Stacks[0].Parameters[?ParameterKey=='Architecture'].ParameterValue" 2>/dev/null || true)
  [[ -n $architecture && $architecture != None ]] || architecture=arm64
}

# The processor for which things are built, as Docker calls it.
platform() {
  [[ $architecture == arm64 ]] && echo linux/arm64 || echo linux/amd64
}

require_docker() {
  docker buildx version >/dev/null 2>&1 ||
    fail "Docker with Buildx is missing, which builds $1: install it, or say what to take with $2"
}

# Builds the package of the function, unless there is one, and says where it is in `worker_zip`.
provide_worker() {
  [[ -z $worker_zip ]] || return 0
  require_docker 'the function' --worker-zip
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  say "building the function for $(platform)"
  docker buildx build --platform "$(platform)" --target worker --output "type=local,dest=$scratch" "$here/.."
  worker_zip=$scratch/worker.zip
}

# Makes the bucket for packages, if it is not there. Nobody but this account gets at it.
provide_bucket() {
  local bucket=$1 place=()
  ! aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1 || return 0
  say "making the bucket $bucket"
  # The first of all regions must not be named.
  [[ $AWS_REGION == us-east-1 ]] || place=(--create-bucket-configuration "LocationConstraint=$AWS_REGION")
  aws s3api create-bucket --bucket "$bucket" ${place[@]+"${place[@]}"} >/dev/null
  aws s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
}

# Builds the image of the nodes and puts it into the account's registry, unless there is one, and says which in `image`.
# An image is named after its commit, and one that is there already is not built again.
provide_image() {
  [[ -z $image ]] || return 0
  require_docker 'the image of the nodes' --image
  local registry tag
  tag=$(git -C "$here" describe --always --abbrev=12 --dirty)-$architecture
  # What is not committed has no name of its own.
  [[ $tag != *-dirty-* ]] || tag+=-$(date -u +%Y%m%d%H%M%S)
  aws ecr describe-repositories --repository-names "$name" >/dev/null 2>&1 ||
    aws ecr create-repository --repository-name "$name" --image-tag-mutability IMMUTABLE \
      --image-scanning-configuration scanOnPush=true >/dev/null
  registry=$(aws ecr describe-repositories --repository-names "$name" \
    --query 'repositories[0].repositoryUri' --output text)
  image=$registry:$tag
  ! aws ecr describe-images --repository-name "$name" --image-ids "imageTag=$tag" >/dev/null 2>&1 || return 0
  say "building $image"
  aws ecr get-login-password | docker login --username AWS --password-stdin "${registry%%/*}"
  docker buildx build --platform "$(platform)" --target node --provenance=false --tag "$image" --push "$here/.."
}

deploy_data() {
  local once=()
  case $(status_of "$name-data") in
    '' | ROLLBACK_COMPLETE) once=("Fifo=${standard_queue:+false}") ;;
  esac
  deploy data "Topic=${topic:+true}" ${once[@]+"${once[@]}"}
  create_first_app
}

# Makes an app, if there is none, so that there is something to try.
create_first_app() {
  local key secret
  find_program
  if [[ -z $program ]]; then
    say "no socket-rush is at hand: build one, and make an app with 'socket-rush apps create' and $(store)"
    return
  fi
  [[ -z $(apps list --limit 1 --as-json) ]] || return 0
  key=$(random 10) secret=$(random 20)
  printf '{"app_id": "1", "app_key": "%s", "app_secret": "%s"}' "$key" "$secret" | apps create --json - >/dev/null
  say "made the app 1 with the key $key"
}

deploy_worker() {
  local bucket sum queue
  provide_worker
  queue=$(outputs "$name-data" QueueArn TableName TableArn)
  bucket=$(bucket_of "$name")
  provide_bucket "$bucket"
  sum=$(sha256sum "$worker_zip" 2>/dev/null || shasum -a 256 "$worker_zip")
  aws s3 cp --only-show-errors "$worker_zip" "s3://$bucket/worker/${sum%% *}.zip"
  # shellcheck disable=SC2086 # Names in AWS have no white space.
  deploy worker "CodeBucket=$bucket" "CodeKey=worker/${sum%% *}.zip" "Architecture=$architecture" $queue
}

deploy_network() {
  if [[ -n $vpc ]]; then
    say "taking $vpc for a network"
  else
    deploy network "HasTopic=${topic:+true}"
  fi
}

deploy_sockets() {
  local repository='' processor network queue
  provide_image
  # The account's own registry is one for which nodes need rights.
  [[ $image != *.dkr.ecr.*/*:* ]] || repository=${image#*/} repository=${repository%:*}
  [[ $architecture == arm64 ]] && processor=ARM64 || processor=X86_64
  if [[ -n $vpc ]]; then
    network="VpcId=$vpc PublicSubnetIds=$public_subnets PrivateSubnetIds=$private_subnets"
  else
    # Without a network of its own, it stays in the one where it is.
    network=$(outputs "$name-network" VpcId PublicSubnetIds PrivateSubnetIds 2>/dev/null) || network=''
  fi
  queue=$(outputs "$name-data" QueueUrl QueueArn TopicArn TableName TableArn)
  # shellcheck disable=SC2086 # As above.
  deploy sockets "Image=$image" "RepositoryName=$repository" "Architecture=$processor" \
    "CertificateArn=$certificate" $network $queue
}

deploy_scaling() {
  local nodes
  nodes=$(outputs "$name-sockets" ClusterName ServiceName BalancerName TargetsName)
  # shellcheck disable=SC2086 # As above.
  deploy scaling $nodes
}

# Finds out, once, what alarms and dashboard look at.
watch() {
  [[ -n $queues && -n $function && -n $nodes ]] && return
  queues=$(outputs "$name-data" QueueName DeadLettersName)
  function=$(outputs "$name-worker" FunctionName)
  nodes=$(outputs "$name-sockets" ClusterName ServiceName BalancerName TargetsName CacheName)
}

deploy_alarms() {
  local log table
  watch
  table=$(outputs "$name-data" TableName)
  log=$(output "$name-sockets" LogGroup)
  # shellcheck disable=SC2086 # As above.
  deploy alarms "Email=$email" "NodeLogGroup=$log" $table $queues $function $nodes
}

deploy_dashboard() {
  watch
  # shellcheck disable=SC2086 # As above.
  deploy dashboard $queues $function $nodes
}

# Where to go now, and who knows the app. Its secret is not printed, because terminals are kept and shared.
greet() {
  local url
  if wants sockets; then
    url=$(output "$name-sockets" Url)
    say "clients and backends go to $url"
  fi
  say "apps: socket-rush apps list $(store)"
  say "the first with its secret: socket-rush apps show 1 --show-secret $(store)"
}

read_arguments "$@"
check_arguments
choose_region
choose_architecture
for stack in "${all_stacks[@]}"; do
  ! wants "$stack" || "deploy_$stack"
done
greet
