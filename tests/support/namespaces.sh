# Nodes in network namespaces, a link of its own for each; needs root. Read after scenario.sh.
# shellcheck shell=bash
#
# links_up gives each NAME a namespace PREFIX.NAME with the address 10.79.0.(10 + its place) on eth0, joined by a bridge in
# PREFIX.hub; tc's tbf limits both ways, without delay.

link_prefix='' link_names=()

# links_up PREFIX RATE NAME...: RATE as tc writes it: 20mbit. Fails where there are no namespaces.
links_up() {
    local rate=$2 name
    link_prefix=$1 link_names=("${@:3}")
    links_down
    ip netns add "$link_prefix.hub" && ip -n "$link_prefix.hub" link add hub type bridge &&
        ip -n "$link_prefix.hub" link set hub up || return 1
    for name in "${link_names[@]}"; do
        ip netns add "$link_prefix.$name" &&
            ip link add eth0 netns "$link_prefix.$name" type veth peer name "p$name" netns "$link_prefix.hub" &&
            ip -n "$link_prefix.hub" link set "p$name" master hub up &&
            ip -n "$link_prefix.$name" addr add "$(link_address "$name")/24" dev eth0 &&
            ip -n "$link_prefix.$name" link set lo up && ip -n "$link_prefix.$name" link set eth0 up &&
            link_rate "$name" "$rate" || return 1
        swarm_within[$name]="nsenter --net=/run/netns/$link_prefix.$name" # `ip netns exec` would hide the control groups
    done
}
links_down() {
    local name
    for name in "${link_names[@]}" hub; do ip netns del "$link_prefix.$name" 2>/dev/null || true; done
}
# For `trap links_end EXIT`: what scenario.sh does at the end, without the links.
links_end() {
    local status=$?
    links_down
    scenario_end $status
}

link_address() {
    local i
    for i in "${!link_names[@]}"; do [[ ${link_names[$i]} != "$1" ]] || printf '10.79.0.%s' $((10 + i)); done
}
# link_rate NAME RATE: from now on, both ways.
link_rate() {
    tc -n "$link_prefix.$1" qdisc replace dev eth0 root tbf rate "$2" burst 256kb latency 200ms &&
        tc -n "$link_prefix.hub" qdisc replace dev "p$1" root tbf rate "$2" burst 256kb latency 200ms
}
# link_set NAME up|down: the node's cable.
link_set() { ip -n "$link_prefix.hub" link set "p$1" "$2"; }

# swarm_behind_links ARGUMENTS...: starts the nodes as members of one swarm, with those arguments.
swarm_behind_links() {
    local first=${link_names[0]} name invite
    for name in "${link_names[@]}"; do
        # Only members of a swarm leave loopback.
        node_start "$name" "$@"
        if [[ $name == "$first" ]]; then
            node "$name" swarm new links --quiet >/dev/null
        else
            node "$name" swarm join "$invite" --quiet >/dev/null
        fi
        node_stop "$name"
        printf '%s:47100\n' "$(link_address "$name")" >"$swarm/$name.address"
        node_start "$name" "$@"
        [[ $name != "$first" ]] || invite=$(node "$name" swarm invite --address "$(link_address "$name"):47100" --quiet)
    done
    wait_for 60 "the nodes to know one another" swarm_has_peers $((${#link_names[@]} - 1)) "${link_names[@]}"
}
