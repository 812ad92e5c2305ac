#!/usr/bin/env bash
# Ask Render for an image, and wait for it: deploy.sh IMAGE [RELEASE]. HOOK is the deploy hook's address, URL
# the predictor's. Done when /health/ready answers, and names the release where one is given.
set -eu

image=$1 release=${2-} patience=${PATIENCE:-900} pause=${PAUSE:-10}

encoded=$(printf %s "$image" | sed -e 's/%/%25/g' -e 's#/#%2F#g' -e 's/:/%3A/g' -e 's/@/%40/g')
separator='?'
case $HOOK in *\?*) separator='&' ;; esac
# The hook's address is a secret: it comes by standard input, not on a command line that others may read.
printf 'url = "%s%simgURL=%s"\n' "$HOOK" "$separator" "$encoded" |
  curl --silent --show-error --fail --output /dev/null --request POST --config -
echo "asked for $image"

end=$((SECONDS + patience))
while [ "$SECONDS" -lt "$end" ]; do
  if answer=$(curl --silent --fail --max-time 10 "$URL/health/ready"); then
    case $answer in *"\"release\":\"$release\""*) echo "ready: $answer"; exit 0 ;; esac
    [ -n "$release" ] || { echo "ready: $answer"; exit 0; }
  fi
  sleep "$pause"
done
echo "$image was not ready after $patience seconds; the last answer: ${answer:-none}" >&2
exit 1
