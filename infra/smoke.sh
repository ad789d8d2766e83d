#!/usr/bin/env bash
# Tries a Socket Rush from outside: whether it is ready, takes a client, and answers signed requests.
#
#   infra/smoke.sh NAME          one that infra/deploy.sh has put into AWS
#   infra/smoke.sh --url URL     any, with APP_ID, APP_KEY and APP_SECRET in the environment
#
#   --app ID           the app of NAME with which it is tried (1)
#   --within SECONDS   how long it may take to be ready (120)
#   --help             prints this
#
# It needs curl and openssl, and for a NAME the AWS CLI. The exit code is 0 if everything worked.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
# shellcheck source=infra/stacks.sh
. "$here/stacks.sh"

name='' url='' within=120 app=1

read_arguments() {
  while (($#)); do
    case $1 in
      --help | -h) usage && exit ;;
      --url | --within | --app)
        (($# > 1)) || fail "$1 needs a value"
        case $1 in
          --url) url=$2 ;;
          --within) within=$2 ;;
          --app) app=$2 ;;
        esac
        shift
        ;;
      -*) fail "unknown option $1; --help lists them" ;;
      *) name=$1 ;;
    esac
    shift
  done
  [[ -n $name || -n $url ]] || fail 'say a NAME or --url; --help says more'
  [[ $within =~ ^[0-9]+$ ]] || fail "--within takes seconds, not '$within'"
}

# Asks the stacks where to go, and the table for the app: each is an item of its own, with its settings as attributes.
find_server() {
  local table item
  [[ -z $url ]] || return 0
  check_name "$name"
  choose_region
  url=$(output "$name-sockets" Url)
  table=$(output "$name-data" TableName)
  item=$(aws dynamodb get-item --table-name "$table" --key "{\"pk\": {\"S\": \"app#$app\"}}" \
    --query 'Item.[app_key.S, app_secret.S]' --output text)
  [[ $item != None ]] || fail "there is no app $app"
  APP_ID=$app
  IFS=$'\t' read -r APP_KEY APP_SECRET <<<"$item"
}

# What a signed request with method `$1`, path `$2` and perhaps body `$3` is answered.
request() {
  local method=$1 path=$2 body=${3:-} query signature
  query="auth_key=$APP_KEY&auth_timestamp=$(date +%s)&auth_version=1.0"
  [[ -z $body ]] || query+="&body_md5=$(printf %s "$body" | openssl md5 -r | cut -d ' ' -f 1)"
  signature=$(printf '%s\n%s\n%s' "$method" "$path" "$query" | hmac)
  curl --silent --show-error --fail-with-body --max-time 10 --request "$method" \
    --header 'Content-Type: application/json' ${body:+--data "$body"} \
    "$url$path?$query&auth_signature=$signature"
}

# HMAC-SHA256 of standard input with the app's secret, in hex.
hmac() {
  openssl sha256 -hmac "$APP_SECRET" -r | cut -d ' ' -f 1
}

wait_until_ready() {
  local deadline=$((SECONDS + within))
  until curl --silent --fail --output /dev/null --max-time 5 "$url/ready"; do
    ((SECONDS < deadline)) || fail "$url/ready does not answer 200 within $within s"
    sleep 1
  done
  say "$url is ready"
}

# Opens a WebSocket as a client does, and reads until it is greeted. curl sees the connection as an answer without an end,
# and is ended.
connect() {
  local greeting
  greeting=$(curl --silent --http1.1 --include --no-buffer --max-time 5 \
    --header 'Connection: Upgrade' --header 'Upgrade: websocket' --header 'Sec-WebSocket-Version: 13' \
    --header 'Sec-WebSocket-Key: c29ja2V0LXJ1c2gtc21vaw==' "$url/app/$APP_KEY?protocol=7" |
    tr -d '\000' | grep --text --only-matching --max-count 1 'pusher:connection_established' || true)
  [[ -n $greeting ]] || fail 'a client is not greeted'
  say 'a client is greeted'
}

read_arguments "$@"
require curl 'it asks the server'
require openssl 'it signs'
find_server
: "${APP_ID:?is the id of the app}" "${APP_KEY:?is its key}" "${APP_SECRET:?is its secret}"
wait_until_ready
connect
request GET "/apps/$APP_ID/channels" >/dev/null || fail 'a signed request is refused'
request POST "/apps/$APP_ID/events" '{"name":"smoke","channels":["smoke"],"data":"{}"}' >/dev/null ||
  fail 'an event is refused'
say 'a backend is answered, and may publish'
