#!/usr/bin/env bash
# Network labs: small networks of real Linux routers, each host a network namespace, each cable a veth.
#
#   lab.sh kinds              the labs there are and what a trace through each shows
#   lab.sh up KIND PREFIX     builds one; its hosts are PREFIX-src, PREFIX-r1 …, PREFIX-dst
#   lab.sh down PREFIX        removes it, also one that was half built or is already gone
#
# Labs of different prefixes do not see each other: any number may exist at once. Needs root.
#
# Addresses are the same in every lab. Cable i is 10.0.i.0/24, .1 on the side of src and .2 on the far
# side, so that hop i answers from 10.0.i.2; src is 10.0.1.1. The last cable is 203.0.113.0/24 and the
# target 203.0.113.9. In each host eth0 leads towards src and eth1 towards dst; src itself has eth0.
# On src every address has a name: src.lab, r1.lab, …, dst.lab.
#
# Every lab is there in IPv6 too: what is 10.0.i.j is also fd00:0:0:i::j, and the target 2001:db8:113::9.
# Nothing is written down twice: `six` translates all that is said of IPv4 addresses and routes. The hosts
# have link-local addresses and are quiet: no duplicate detection, no router solicitations or advertisements,
# and src reports no multicast groups, so a count of its frames is one of what was sent on purpose.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here target=203.0.113.9 target6=2001:db8:113::9

kinds() {
    cat <<'END'
ten-hops          ten routers, the target at distance 11
concurrent        three routers, a path for two traces at once
silent-hop        four routers, the second never says that a TTL ran out: "*"
silent-target     three routers, the target swallows what it gets: "*" to the last hop
host-unreachable  three routers, the last finds nobody at the target's address: !H
net-unreachable   three routers, the second has no route to the target: !N
prohibited        three routers, the second forbids the way by its routes: !X
filtered          three routers, the second forbids the way by its firewall: !X
ecmp              the way parts in two behind the first router, chosen per flow
multipath         eight routers, the way parts in three behind the first and in two behind the fifth
lo                one host and nothing else: the target is 127.0.0.1 or ::1
tun               src reaches two routers through tun0, an interface without link headers
asymmetric        three routers, what the second and later ones answer comes back by eth1 of src
rate-limited      three routers, the second with the ICMP rate limits that Linux has by default
nat               three routers, the first translates source addresses
udp-answer        three routers, the target answers UDP on ports 53 and 33434 to 33533, and TCP on 80
routing-loop      three routers, the third sends back to the second what is for the target
small-mtu         three routers, 1400 bytes is all that the cable behind the second takes: !F-1400
black-hole        the same, and the second router never says so: what is longer vanishes
broken            one host: down0 is down, noaddr0 has no address, eth0 has one, and there is no way out
END
}

# What is to be built, gathered first so that a whole lab takes a handful of processes: lines for
# `ip -batch` as a whole, and per host lines for `ip -batch`, sysctls, and nftables rules (of a table for
# both families).
prefix='' links='' names=''
declare -A config=() sysctls=() rules=()
hosts=()

host() { # NAME…: hosts that forward nothing
    local name conf
    for name; do
        hosts+=("$name")
        config[$name]=$'link set lo up\n'
        sysctls[$name]='net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=1000000'
        sysctls[$name]+=' net.ipv4.icmp_msgs_burst=1000000 net.ipv6.icmp.ratelimit=0'
        for conf in net.ipv6.conf.{all,default}; do
            sysctls[$name]+=" $conf.accept_dad=0 $conf.accept_ra=0 $conf.router_solicitations=0"
        done
    done
    rules[src]='chain quiet { type filter hook output priority 0;
        icmpv6 type { mld-listener-report, mld2-listener-report } drop; }'
}

router() { # NAME…
    local name
    host "$@"
    for name; do sysctls[$name]+=' net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1'; done
}

cable() { # HOST INTERFACE ADDRESS/LENGTH HOST INTERFACE ADDRESS/LENGTH
    names+="${3%/*} $1.lab"$'\n'"${6%/*} $4.lab"$'\n'
    links+="link add name $2 netns $prefix-$1 type veth peer name $5 netns $prefix-$4"$'\n'
    ip_in "$1" "addr add $3 dev $2" "link set $2 up"
    ip_in "$4" "addr add $6 dev $5" "link set $5 up"
}

ip_in() { # HOST LINE…: for `ip` in that host, after what was said before
    local name=$1 line
    shift
    for line; do config[$name]+="$line"$'\n'; done
}

both() { # LINES: the same, and then those about addresses and routes once more, for IPv6
    printf '%s\n' "$1"
    grep -E '^ *(addr|route) ' <<<"$1" | six | sed '/addr add/s/$/ nodad/' || true
}

six() { # from stdin to stdout: IPv4 addresses and networks as the lab has them in IPv6
    sed -E 's/\b10\.0\.([0-9]+)\.0\/24/fd00:0:0:\1::\/64/g; s/\b10\.0\.([0-9]+)\./fd00:0:0:\1::/g
        s/\b203\.0\.113\./2001:db8:113::/g; s/\b192\.0\.2\./2001:db8:2::/g
        s/\b198\.51\.100\./2001:db8:51::/g; s/\/24/\/64/g; s/\bdefault\b/::\/0/g'
}

chain() { # N: src, N routers in a row, dst
    local i n=$1
    host src dst
    for ((i = 1; i <= n; i++)); do router "r$i"; done
    cable src eth0 10.0.1.1/24 r1 eth0 10.0.1.2/24
    for ((i = 2; i <= n; i++)); do
        cable "r$((i - 1))" eth1 "10.0.$i.1/24" "r$i" eth0 "10.0.$i.2/24"
    done
    cable "r$n" eth1 203.0.113.1/24 dst eth0 $target/24
    ip_in src 'route add default via 10.0.1.2'
    for ((i = 1; i < n; i++)); do ip_in "r$i" "route add default via 10.0.$((i + 1)).2"; done
    for ((i = 2; i <= n; i++)); do ip_in "r$i" "route add 10.0.1.0/24 via 10.0.$i.1"; done
    ip_in dst 'route add default via 203.0.113.1'
}

build_ten_hops() { chain 10; }
build_concurrent() { chain 3; }
build_udp_answer() { chain 3; }

build_silent_hop() {
    chain 4
    rules[r2]='chain output { type filter hook output priority 0;
        icmp type time-exceeded drop; icmpv6 type time-exceeded drop; }'
}

build_silent_target() {
    chain 3
    # All but neighbour discovery, which in IPv4 is not IP.
    rules[dst]='chain input { type filter hook input priority 0;
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; drop; }'
}

build_host_unreachable() {
    chain 3
    ip_in dst "addr del $target/24 dev eth0" 'addr add 203.0.113.8/24 dev eth0'
    # Three unanswered requests for the link address, 0.2 s apart instead of 1 s.
    ip_in r3 'ntable change name arp_cache dev eth1 retrans 200' \
        'ntable change name ndisc_cache dev eth1 retrans 200'
}

build_net_unreachable() {
    chain 3
    ip_in r2 'route del default'
}

build_prohibited() {
    chain 3
    ip_in r2 "route add prohibit $target"
}

build_filtered() {
    chain 3
    rules[r2]="chain forward { type filter hook forward priority 0;
        ip daddr $target reject with icmp type admin-prohibited
        ip6 daddr $target6 reject with icmpv6 type admin-prohibited; }"
}

build_ecmp() {
    host src dst
    router r1 r2 r3 r4
    cable src eth0 10.0.1.1/24 r1 eth0 10.0.1.2/24
    cable r1 eth1 10.0.2.1/24 r2 eth0 10.0.2.2/24
    cable r1 eth2 10.0.3.1/24 r3 eth0 10.0.3.2/24
    cable r2 eth1 10.0.4.1/24 r4 eth0 10.0.4.2/24
    cable r3 eth1 10.0.5.1/24 r4 eth2 10.0.5.2/24
    cable r4 eth1 203.0.113.1/24 dst eth0 $target/24
    ip_in src 'route add default via 10.0.1.2'
    ip_in r1 'route add default nexthop via 10.0.2.2 nexthop via 10.0.3.2'
    ip_in r2 'route add default via 10.0.4.2' 'route add 10.0.1.0/24 via 10.0.2.1'
    ip_in r3 'route add default via 10.0.5.2' 'route add 10.0.1.0/24 via 10.0.3.1'
    ip_in r4 'route add 10.0.1.0/24 via 10.0.4.1'
    ip_in dst 'route add default via 203.0.113.1'
    by_flow r1
}

by_flow() { # ROUTER
    # Addresses, protocol and ports count for the choice, nothing else: no flow label, and (policy 1 would
    # prefer it) no hash that the sending socket left in the kernel. A fixed seed lets the same ports go
    # the same way in every lab. Kernels before 6.11 have no seed to set.
    sysctls[$1]+=' net.ipv4.fib_multipath_hash_policy=3 net.ipv4.fib_multipath_hash_fields=55'
    sysctls[$1]+=' net.ipv6.fib_multipath_hash_policy=3 net.ipv6.fib_multipath_hash_fields=55'
    if [[ -e /proc/sys/net/ipv4/fib_multipath_hash_seed ]]; then
        sysctls[$1]+=" net.ipv4.fib_multipath_hash_seed=${1#r}"
    fi
}

build_multipath() {
    local i
    host src dst
    router r1 r2 r3 r4 r5 r6 r7 r8
    cable src eth0 10.0.1.1/24 r1 eth0 10.0.1.2/24
    for i in 2 3 4; do
        cable r1 "eth$((i - 1))" "10.0.$i.1/24" "r$i" eth0 "10.0.$i.2/24"
        cable "r$i" eth1 "10.0.$((i + 3)).1/24" r5 "eth$((i + 1))" "10.0.$((i + 3)).2/24"
        ip_in "r$i" "route add default via 10.0.$((i + 3)).2" "route add 10.0.1.0/24 via 10.0.$i.1"
    done
    for i in 6 7; do
        cable r5 "eth$((i - 5))" "10.0.$((i + 2)).1/24" "r$i" eth0 "10.0.$((i + 2)).2/24"
        cable "r$i" eth1 "10.0.$((i + 4)).1/24" r8 "eth$((i - 4))" "10.0.$((i + 4)).2/24"
        ip_in "r$i" "route add default via 10.0.$((i + 4)).2" "route add 10.0.1.0/24 via 10.0.$((i + 2)).1"
    done
    cable r8 eth1 203.0.113.1/24 dst eth0 $target/24
    ip_in src 'route add default via 10.0.1.2'
    ip_in r1 'route add default nexthop via 10.0.2.2 nexthop via 10.0.3.2 nexthop via 10.0.4.2'
    ip_in r5 'route add default nexthop via 10.0.8.2 nexthop via 10.0.9.2' 'route add 10.0.1.0/24 via 10.0.5.1'
    ip_in r8 'route add 10.0.1.0/24 via 10.0.10.1'
    ip_in dst 'route add default via 203.0.113.1'
    by_flow r1
    by_flow r5
}

build_lo() { host src; }

build_tun() { # wired by tun.py once the hosts exist: a tunnel device cannot be had in every kernel
    host src dst
    router r1 r2
    names+=$'10.0.1.1 src.lab\n10.0.1.2 r1.lab\n'
    cable r1 eth1 10.0.2.1/24 r2 eth0 10.0.2.2/24
    cable r2 eth1 203.0.113.1/24 dst eth0 $target/24
    ip_in r1 'route add default via 10.0.2.2'
    ip_in r2 'route add 10.0.1.0/24 via 10.0.2.1'
    ip_in dst 'route add default via 203.0.113.1'
}

build_asymmetric() {
    chain 3
    # Behind r2 every answer takes a cable of its own back to src.
    cable r2 eth2 10.0.9.2/24 src eth1 10.0.9.1/24
    ip_in r2 'route del 10.0.1.0/24' 'route add 10.0.1.0/24 via 10.0.9.1'
    sysctls[src]+=' net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0'
}

build_rate_limited() {
    chain 3
    sysctls[r2]+=' net.ipv4.icmp_ratelimit=1000 net.ipv4.icmp_msgs_per_sec=1000'
    sysctls[r2]+=' net.ipv4.icmp_msgs_burst=50 net.ipv6.icmp.ratelimit=1000'
}

build_nat() {
    chain 3
    rules[r1]='chain postrouting { type nat hook postrouting priority 100; oifname "eth1" masquerade; }'
    # The address that r1 now gives to all: the answers need a way to it, and to it only.
    ip_in r2 'route del 10.0.1.0/24'
    ip_in r3 'route del 10.0.1.0/24' 'route add 10.0.2.0/24 via 10.0.3.1'
}

build_routing_loop() {
    chain 3
    ip_in r3 "route add $target via 10.0.3.1"
}

build_small_mtu() {
    chain 3
    ip_in r2 'link set eth1 mtu 1400'
    ip_in r3 'link set eth0 mtu 1400'
}

build_black_hole() {
    build_small_mtu
    rules[r2]='chain output { type filter hook output priority 0;
        icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }'
}

build_broken() {
    host src dst
    cable src eth0 192.0.2.1/24 dst eth0 192.0.2.2/24
    cable src down0 198.51.100.1/24 dst eth1 198.51.100.2/24
    links+="link add name noaddr0 netns $prefix-src type veth peer name eth2 netns $prefix-dst"$'\n'
    ip_in src 'link set down0 down' 'link set noaddr0 addrgenmode none' 'link set noaddr0 up'
    ip_in dst 'link set eth2 up'
}

# What needs a running program: started in the background once all hosts stand.
start_udp_answer() { in_host dst "$here/answer.py" eth0 udp:53 udp:33434-33533 tcp:80; }

start_tun() {
    in_host src "$here/tun.py" tun0 "/run/netns/$prefix-r1" eth0
    ip -n "$prefix-src" -batch - < <(both 'link set tun0 up
        addr add 10.0.1.1 peer 10.0.1.2 dev tun0
        route add default dev tun0')
    ip -n "$prefix-r1" -batch - < <(both 'link set eth0 up
        addr add 10.0.1.2 peer 10.0.1.1 dev eth0')
}

in_host() { # HOST COMMAND…
    local name=$1
    shift
    nsenter --net="/run/netns/$prefix-$name" "$@"
}

up() { # KIND PREFIX
    local kind=$1 name
    prefix=$2
    need_prefix
    kinds | grep -q "^$kind " || die "no lab is called '$kind'; \`lab.sh kinds\` lists them"
    "build_${kind//-/_}"

    trap 'down "$prefix"' EXIT # unless all goes well
    printf "netns add $prefix-%s\n" "${hosts[@]}" | ip -batch -
    for name in "${hosts[@]}"; do
        # shellcheck disable=SC2086 # a list of words
        in_host "$name" sysctl -qw ${sysctls[$name]}
    done
    ip -batch - <<<"$links"
    for name in "${hosts[@]}"; do
        ip -n "$prefix-$name" -batch - < <(both "${config[$name]}")
    done
    for name in "${!rules[@]}"; do
        in_host "$name" nft -f - <<<"table inet lab {"$'\n'"${rules[$name]}"$'\n'"}"
    done
    if declare -F "start_${kind//-/_}" >/dev/null; then "start_${kind//-/_}"; fi
    # `ip netns exec` puts this in the place of /etc/hosts: r1.lab and the like, without a resolver.
    mkdir -p "/etc/netns/$prefix-src"
    printf '127.0.0.1 localhost\n::1 localhost\n%s%s\n' "$names" "$(six <<<"$names")" \
        >"/etc/netns/$prefix-src/hosts"
    trap - EXIT
}

down() { # PREFIX
    local -a present pids
    prefix=$1
    need_prefix
    rm -rf "/etc/netns/$prefix-src"
    mapfile -t present < <(ip netns list | awk '{print $1}' | grep -E "^$prefix-(src|dst|r[0-9]+)$")
    ((${#present[@]})) || return 0
    for name in "${present[@]}"; do
        mapfile -t pids < <(ip netns pids "$name")
        ((${#pids[@]} == 0)) || kill -9 "${pids[@]}" 2>/dev/null || true
    done
    printf 'netns del %s\n' "${present[@]}" | ip -batch -
}

need_prefix() {
    [[ $prefix =~ ^[A-Za-z0-9_]+$ ]] || die "a prefix is made of letters, digits and _: '$prefix' is not"
}

die() {
    printf 'lab.sh: %s\n' "$*" >&2
    exit 2
}

case ${1-} in
    kinds) kinds ;;
    up) (($# == 3)) || die 'usage: lab.sh up KIND PREFIX' && up "$2" "$3" ;;
    down) (($# == 2)) || die 'usage: lab.sh down PREFIX' && down "$2" ;;
    *) die 'usage: lab.sh kinds | up KIND PREFIX | down PREFIX' ;;
esac
