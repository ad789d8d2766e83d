# What smoke.sh and localstack/run have in common: how a backend speaks to a server, and where a client is. The app is the
# one of APP_ID, APP_KEY and APP_SECRET. It is sourced.
# shellcheck shell=bash

# A client, see there.
# shellcheck disable=SC2034
visitor=$(dirname "${BASH_SOURCE[0]}")/visitor.py
readonly visitor

# HMAC-SHA256 of standard input with the app's secret, in hex.
hmac() {
  openssl sha256 -hmac "$APP_SECRET" -r | cut -d ' ' -f 1
}

# What the server at `$1` answers to a signed request with method `$2`, path `$3` below the app's, and perhaps body `$4`.
request() {
  local url=$1 method=$2 path=/apps/$APP_ID$3 body=${4:-} query signature
  query="auth_key=$APP_KEY&auth_timestamp=$(date +%s)&auth_version=1.0"
  [[ -z $body ]] || query+="&body_md5=$(printf %s "$body" | openssl md5 -r | cut -d ' ' -f 1)"
  signature=$(printf '%s\n%s\n%s' "$method" "$path" "$query" | hmac)
  curl --silent --show-error --fail-with-body --max-time 10 --request "$method" \
    --header 'Content-Type: application/json' ${body:+--data "$body"} \
    "$url$path?$query&auth_signature=$signature"
}

# Publishes the event `$3` with the data `$4`, a text, on the channel `$2` of the server at `$1`.
publish() {
  local body
  body=$(printf '{"name":"%s","channels":["%s"],"data":"%s"}' "$3" "$2" "${4//\"/\\\"}")
  request "$1" POST /events "$body" >/dev/null
}
