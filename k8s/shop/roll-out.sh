#!/usr/bin/env bash
# Rolls an overlay of the shop out with an image: waits for every Deployment, asks the front door, and puts all of them back
# where one does not get ready or the front door does not answer. Pods are put back; ConfigMaps and policies are not.
#
#   roll-out.sh OVERLAY IMAGE      with KUBECONFIG set; ROLL_OUT_TIMEOUT (300s) is how long a Deployment may take
set -euo pipefail
overlay=$1 image=$2
timeout=${ROLL_OUT_TIMEOUT:-300s}

manifests=$(mktemp)
trap 'rm -f "$manifests"' EXIT
kubectl kustomize "$overlay" | sed -E "s#^( +(- )?image: )plimsoll(:[^ ]*)?\$#\1$image#" > "$manifests"
namespace=$(awk '/^kind: Namespace$/ { found = 1 } found && /^  name: / { print $2; exit }' "$manifests")
grep -q "image: $image\$" "$manifests" || { echo "error: $overlay runs no image called plimsoll" >&2; exit 2; }

revision() {
    kubectl --namespace "$namespace" get "$1" --output jsonpath='{.metadata.annotations.deployment\.kubernetes\.io/revision}'
}

# What was there before, and in which revision: only that can be put back.
declare -A before=()
for deployment in $(kubectl --namespace "$namespace" get deployments --output name --ignore-not-found); do
    before[$deployment]=$(revision "$deployment")
done
kubectl apply --filename "$manifests"

holds() {
    local deployment
    for deployment in $(kubectl --namespace "$namespace" get deployments --output name); do
        kubectl --namespace "$namespace" rollout status "$deployment" --timeout "$timeout" || return 1
    done
    front_door_answers
}

# Through the API server, as a customer of the gateway would ask.
front_door_answers() {
    local attempt path
    for path in /api/categories /api/products; do
        for attempt in 1 2 3 4 5 6; do
            if kubectl get --raw "/api/v1/namespaces/$namespace/services/gateway:http/proxy$path" > /dev/null; then
                continue 2
            fi
            echo "front door: $path does not answer (try $attempt)" >&2
            sleep 5
        done
        return 1
    done
    echo "front door: answers"
}

if holds; then
    exit 0
fi
echo "error: the roll-out does not hold, putting it back" >&2
kubectl --namespace "$namespace" get pods >&2 || true
undone=()
for deployment in "${!before[@]}"; do
    if [ "$(revision "$deployment")" != "${before[$deployment]}" ]; then
        # It warns that apply's memory of the manifest stays; the next roll-out names every field anyway.
        kubectl --namespace "$namespace" rollout undo "$deployment" --to-revision "${before[$deployment]}" 2>&1 \
            | grep -v 'previously managed with' && undone+=("$deployment")
    fi
done
for deployment in "${undone[@]}"; do
    kubectl --namespace "$namespace" rollout status "$deployment" --timeout "$timeout" || true
done
exit 1
