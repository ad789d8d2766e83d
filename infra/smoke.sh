#!/usr/bin/env bash
# Tries a Socket Rush from outside: whether it is ready, a client gets into a presence channel and hears what a backend
# publishes there, and the webhook about the client arrives.
#
#   infra/smoke.sh NAME [--url URL]  one that infra/deploy.sh has put into AWS; its load balancer, or the name that leads there
#   infra/smoke.sh --url URL         any; with the app of APP_ID, APP_KEY and APP_SECRET, and without webhooks
#
#   --within SECONDS   how long each of these may take (120)
#   --help             prints this
#
# A NAME is tried with an app and an endpoint of their own, the latter the stack NAME-smoke. Both are taken away at the end.
# It needs curl, openssl and python3, and for a NAME the AWS CLI and socket-rush: the one that SOCKET_RUSH_BIN names, or the
# first on the PATH or in target/. The exit code is 0 if everything worked.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
# shellcheck source=infra/stacks.sh
. "$here/stacks.sh"
# shellcheck source=infra/client.sh
. "$here/client.sh"

readonly channel=presence-smoke
name='' url='' within=120 program=''
scratch=$(mktemp -d)
# What has to be taken away.
client='' app='' stack=''
trap clean_up EXIT
trap 'exit 130' INT TERM

clean_up() {
  [[ -z $client ]] || kill "$client" 2>/dev/null || true
  [[ -z $app ]] || apps delete "$app" >/dev/null || say "the app $app is still there"
  [[ -z $stack ]] || aws cloudformation delete-stack --stack-name "$stack" || say "the stack $stack is still there"
  rm -rf "$scratch"
}

read_arguments() {
  while (($#)); do
    case $1 in
      --help | -h) usage && exit ;;
      --url | --within)
        (($# > 1)) || fail "$1 needs a value"
        case $1 in
          --url) url=${2%/} ;;
          --within) within=$2 ;;
        esac
        shift
        ;;
      -*) fail "unknown option $1; --help lists them" ;;
      *)
        [[ -z $name ]] || fail "'$1' is one name too many"
        name=$1
        ;;
    esac
    shift
  done
  [[ -n $name || -n $url ]] || fail 'say a NAME or --url; --help says more'
  [[ -z $name ]] || check_name "$name"
  [[ $within =~ ^[0-9]+$ ]] || fail "--within takes seconds, not '$within'"
}

# Waits until `$2...` succeeds; `$1` says what it is if it does not.
await() {
  local what=$1 deadline=$((SECONDS + within))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || fail "$what within $within s"
    sleep 1
  done
}

# Makes an endpoint, and an app that has its webhooks sent there.
prepare() {
  local endpoint
  choose_region
  find_program
  [[ -n $program ]] || fail 'socket-rush is missing, which makes an app: say where it is with SOCKET_RUSH_BIN'
  [[ -n $url ]] || url=$(output "$name-sockets" Url)
  say "deploying $name-smoke, an endpoint for webhooks"
  stack=$name-smoke
  aws cloudformation deploy --stack-name "$stack" --template-file "$here/smoke.yaml" --capabilities CAPABILITY_IAM \
    --no-fail-on-empty-changeset --tags "socket-rush=$name" --parameter-overrides "Name=$name" >/dev/null
  endpoint=$(reachable "$(output "$stack" Url)")
  APP_ID=$(date +%s)$RANDOM APP_KEY=$(random 10) APP_SECRET=$(random 20)
  printf '{"app_id": "%s", "app_key": "%s", "app_secret": "%s", "app_webhooks_enabled": true, "app_webhook_url": "%s"}' \
    "$APP_ID" "$APP_KEY" "$APP_SECRET" "$endpoint" | apps create --json - >/dev/null
  app=$APP_ID
}

# The URL `$1` of a function, as it can be reached: an emulator may have the names of AWS for them, which lead nowhere.
reachable() {
  local id=${1#https://}
  if [[ -n ${AWS_ENDPOINT_URL:-} && $1 == *.on.aws/ ]]; then
    printf '%s/_aws/lambda-url/%s/\n' "$AWS_ENDPOINT_URL" "${id%%.*}"
  else
    printf '%s\n' "$1"
  fi
}

is_ready() {
  curl --silent --fail --output /dev/null --max-time 5 "$url/ready"
}

# Whether the client has said `$1`. One that has ended says nothing more.
client_said() {
  ! grep --quiet --fixed-strings -- "$1" "$scratch/client" || return 0
  kill -0 "$client" 2>/dev/null || fail "a client ended: $(tail -n 1 "$scratch/client")"
  return 1
}

# Whether the endpoint has got a webhook about the client which the app has signed.
webhook_arrived() {
  local signature body
  while read -r _ signature body; do
    [[ $body == *'"member_added"'*"\"$channel\""* && $(printf %s "$body" | hmac) == "$signature" ]] && return
  done < <(aws logs filter-log-events --log-group-name "$log" --filter-pattern webhook \
    --query 'events[].[message]' --output text)
  return 1
}

read_arguments "$@"
require curl 'it asks the server'
require openssl 'it signs'
require python3 'the client is written in it'
[[ -z $name ]] || prepare
: "${APP_ID:?is the id of the app}" "${APP_KEY:?is its key}" "${APP_SECRET:?is its secret}"
await "$url/ready does not answer 200" is_ready
say "$url is ready"
request "$url" GET /channels >/dev/null || fail 'a signed request is refused'
APP_SECRET=$APP_SECRET python3 -B "$visitor" "$url" "$APP_KEY" "$channel" >"$scratch/client" 2>&1 </dev/null &
client=$!
await "a client does not get into $channel" client_said 'subscribed to'
say "a client is in $channel"
publish "$url" "$channel" smoke '{}' || fail 'an event is refused'
await 'the client does not hear what was published' client_said 'got smoke'
say 'it hears what a backend publishes'
if [[ -n $name ]]; then
  log=$(output "$stack" LogGroup)
  await 'no webhook arrives' webhook_arrived
  say 'its webhook arrives, signed by the app'
fi
