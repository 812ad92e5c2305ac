#!/usr/bin/env bash
# Run a predictor image that has a bundle as it would be run, ask it, and remove it again: smoke.sh IMAGE
set -eu

image=$1
key=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
container=$(docker run --detach --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
  --memory 1g --env GRADECAST_API_KEY="$key" --env GRADECAST_ID_KEY="$key" --publish 127.0.0.1::9696 "$image")
trap 'docker rm --force --volumes "$container" >/dev/null' EXIT
address=http://$(docker port "$container" 9696)

for _ in $(seq 60); do
  curl --silent --fail --output /dev/null "$address/health/ready" && break
  sleep 1
done
curl --silent --show-error --fail "$address/health/ready" || { docker logs "$container" >&2; exit 1; }

record='{"Age": 17, "ParentalEducation": 2, "StudyTimeWeekly": 6.5, "Absences": 21, "Tutoring": false,
  "ParentalSupport": 2, "Extracurricular": false, "Sports": false, "Music": false, "Volunteering": false}'
ask() { curl --silent --output "$2" --write-out '%{http_code}' --header 'content-type: application/json' --data "$record" "${@:3}" "$address$1"; }

answer=$(mktemp)
[ "$(ask /predict "$answer")" = 401 ] || { echo "it answers without a key" >&2; exit 1; }
[ "$(ask /predict?explain=true "$answer" --header "authorization: Bearer $key")" = 200 ] || { cat "$answer" >&2; exit 1; }
cat "$answer"
grep -q '"grade_class"' "$answer" && grep -q '"reasons"' "$answer"
curl --silent --fail "$address/metrics" | grep -q '^gradecast_predictions_total'
docker image inspect --format '{{.Size}} bytes, user {{.Config.User}}' "$image"
