#!/bin/sh
# Train on another machine: train-elsewhere.sh HOST ORDER BUNDLE   (the service's retrain.away)
#
# HOST has ticketbot[train] of the same version. Set TRAINER when `trainer` is not on its PATH, for several GPUs:
#     TRAINER="/opt/ticketbot/bin/torchrun --nproc-per-node 2 -m trainer.cli"
# and SIGN_KEY to a file over there when model.trusted_keys is set here. Only tar and ssh are needed.
set -eu
host=$1 order=$2 bundle=$3
trainer=${TRAINER:-trainer} sign=${SIGN_KEY:+--sign-key $SIGN_KEY}

there=$(ssh "$host" 'mktemp -d')
# Copies of pictures do not stay there, whatever happens.
trap 'ssh "$host" "rm -rf $there"' EXIT
trap 'exit 1' INT TERM HUP

tar -C "$order" -cf - . | ssh "$host" "mkdir $there/order && tar -C $there/order -xf -"
status=0
ssh "$host" "$trainer order $there/order --out $there/bundle --cache $there/cache --progress-json $sign" || status=$?
if [ $status -ne 0 ]; then
    # 3: written, its own gate refuses it, and the service will measure it. torchrun makes 1 of every status; a bundle is
    # there whole or not at all.
    ssh "$host" "test -f $there/bundle/manifest.json" || exit $status
    status=3
fi
mkdir "$bundle"
ssh "$host" "tar -C $there/bundle -cf - ." | tar -C "$bundle" --no-same-owner --no-same-permissions -xf -
exit $status
