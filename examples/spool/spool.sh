#!/bin/sh
# A service of curl alone: puts each message into a folder, as a file that is there as a whole or not at all.
#
#     examples/spool/spool.sh [http://HOST:PORT [FOLDER]]
#
# A message that comes twice has the same name twice. SIGTERM ends it when the message that it has is settled.
set -eu
worker=${1:-http://127.0.0.1:6066}
folder=${2:-spool}
client=spool-$(hostname)-$$
mkdir -p "$folder"
work=$(mktemp -d)
ended=
trap 'rm -rf "$work"' EXIT
trap 'ended=1' TERM INT

header() { # name: its value in the last answer
    sed -n "s/^$1: //Ip" "$work/head" | tr -d '\r' | head -n 1
}

say() { # method, path: until a worker has an answer that counts
    tries=0
    while :; do
        code=$(curl --silent --output /dev/null --write-out '%{http_code}' --request "$1" "$worker$2" || true)
        case $code in
            # Late, settled or lost: there is nothing more to say.
            2?? | 404 | 409 | 410) return ;;
        esac
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || return
        sleep 1
    done
}

while [ -z "$ended" ]; do
    # Five seconds, so that it ends soon where it is asked to.
    code=$(curl --silent --dump-header "$work/head" --output "$work/body" --write-out '%{http_code}' \
        --request POST "$worker/v1/next?client=$client&wait_ms=5000&ack_wait_ms=30000" || true)
    case $code in
        200) ;;
        204) continue ;;
        *) sleep 1; continue ;;
    esac
    lease=$(header Fanout-Lease)
    [ -s "$work/body" ] || : > "$work/body"
    name=$(header Kafka-Partition)-$(header Kafka-Offset)
    if mv "$work/body" "$folder/.$name" && mv "$folder/.$name" "$folder/$name"; then
        say DELETE "/v1/leases/$lease"
        echo "$name"
    else
        say POST "/v1/leases/$lease/nack?reason=cannot+write"
    fi
done
