#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Makes the captures `link-*.pcap` and `tunnel-*.pcap`: real traffic between two namespaces, and the frames of make-link.py
# where neither Debian's kernels nor its packages make such packets. Writes a tar archive to standard output. To be run in a
# virtual machine; a pattern as argument chooses captures. Needs the packages ppp, pppoe and wireguard-tools besides those of
# tests/vm/setup.sh.
#
#   tests/vm/vm.py run 6.12 -- collectors/tests/packets/capture-link.sh >packets.tar
#   tar -xf packets.tar -C collectors/tests/packets
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
pattern=${1:-.}
out=$(mktemp -d)
log=$(mktemp)
failed=0
exec 3>&1 1>&2
trap 'tar -cf - -C "$out" . >&3' EXIT

red() { ip netns exec red "$@"; }
blue() { ip netns exec blue "$@"; }
both() { red "$@"; blue "$@"; }

# record NAME DEVICE COUNT FILTER COMMAND...: captures COUNT packets in the namespace red while COMMAND runs.
record() {
    local name=$1 device=$2 count=$3 filter=$4 tcpdump
    shift 4
    [[ $name =~ $pattern ]] || return 0
    echo "record $name"
    : >"$log"
    ip netns exec red timeout 30 tcpdump -Z root -n -p --immediate-mode -U -i "$device" -c "$count" \
        -w "$out/$name.pcap" "$filter" 2>"$log" &
    tcpdump=$!
    until grep -q 'listening on' "$log"; do
        kill -0 $tcpdump || { cat "$log"; exit 1; }
    done
    "$@" >/dev/null || true # many of these are never answered
    wait $tcpdump || { echo "$name: not $count packets"; cat "$log"; failed=1; }
}

ping_once() { red ping -n -c 1 -W 1 "$1"; }
ping_both() { ping_once "$1"; ping_once "$2"; }

# A veth pair named $1 between the namespaces, with addresses that do not change from run to run.
wire() {
    ip link add "$1" netns red address 02:00:00:00:0$2:01 type veth peer name "$1" netns blue address 02:00:00:00:0$2:02
    both ip link set "$1" addrgenmode none
    both ip link set "$1" up
}

# The interface $1 of both namespaces gets addresses in the subnet number $2 and is taken into use.
address() {
    red ip address add "10.0.$2.1/24" dev "$1"
    blue ip address add "10.0.$2.2/24" dev "$1"
    both ip link set "$1" addrgenmode none 2>/dev/null || true
    both ip link set "$1" up
    red ip address add "fd00:$2::1/64" dev "$1" nodad
    blue ip address add "fd00:$2::2/64" dev "$1" nodad
}

# Adds the interface $1 to both namespaces; $2 and $3 are what differs, the rest is the same.
add() {
    local name=$1 in_red=$2 in_blue=$3
    shift 3
    red ip link add "$name" $in_red "$@"
    blue ip link add "$name" $in_blue "$@"
}

ip netns add red
ip netns add blue
both sysctl -q -w net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0
both ip link set lo up
wire wire 0
address wire 0
# No router solicitations and multicast reports in between.
ping_both 10.0.0.2 fd00:0::2
v4="local 10.0.0.1 remote 10.0.0.2" v4_back="local 10.0.0.2 remote 10.0.0.1"
v6="local fd00:0::1 remote fd00:0::2" v6_back="local fd00:0::2 remote fd00:0::1"

### Link layer

both ip link add link wire name tag type vlan id 100 egress-qos-map 0:5
address tag 1
record link-vlan wire 4 'vlan and (icmp or arp)' ping_once 10.0.1.2
both ip link add link wire name outer type vlan proto 802.1ad id 200 egress-qos-map 0:3
both ip link set outer up addrgenmode none
both ip link add link outer name middle type vlan proto 802.1ad id 300
both ip link set middle up addrgenmode none
both ip link add link middle name inner type vlan id 400
address inner 2
record link-qinq wire 4 'ether proto 0x88a8 or vlan' ping_both 10.0.2.2 fd00:2::2

both modprobe -a mpls_router mpls_iptunnel
both sysctl -q -w net.mpls.platform_labels=1000 net.mpls.conf.wire.input=1
for route in "10.0.3.2/32 encap mpls 100/200/300" "10.0.3.3/32 encap mpls 0 ttl 7" "fd00:3::2/128 encap mpls 16"; do
    case $route in fd*) via="inet6 fd00:0::2" ;; *) via="inet 10.0.0.2" ;; esac
    red ip route add $route via $via
done
labelled() { ping_once 10.0.3.2; ping_once 10.0.3.3; ping_once fd00:3::2; }
record link-mpls wire 3 mpls labelled
# An Ethernet pseudowire without a control word.
wire pseudo 3
red tc qdisc add dev pseudo clsact
red tc filter add dev pseudo egress matchall action mpls mac_push label 500 tc 2 ttl 9 \
    action vlan push_eth dst_mac 02:00:00:00:03:02 src_mac 02:00:00:00:03:01
address pseudo 4
record link-mpls-ethernet pseudo 1 mpls ping_once 10.0.4.2

wire bridged 4
red ip link add bridge address 02:00:00:00:04:aa type bridge stp_state 1 hello_time 100
red ip link set bridged master bridge
red ip link set bridge up
record link-stp bridged 2 stp true

wire bonded 5
for namespace in red blue; do
    ip -n $namespace link set bonded down
    ip -n $namespace link add bond type bond mode 802.3ad miimon 100 lacp_rate fast
    ip -n $namespace link set bonded master bond
    ip -n $namespace link set bond up
done
record link-lacp bonded 4 'ether proto 0x8809' true

key1=000102030405060708090a0b0c0d0e0f key2=101112131415161718191a1b1c1d1e1f
secure() { # NAME OPTIONS...: MACsec between the two ends of wire
    local name=$1
    shift
    both ip link add link wire name "$name" type macsec "$@"
    red ip macsec add "$name" tx sa 0 pn 1 on key 01 $key1
    red ip macsec add "$name" rx port 1 address 02:00:00:00:00:02
    red ip macsec add "$name" rx port 1 address 02:00:00:00:00:02 sa 0 pn 1 on key 02 $key2
    blue ip macsec add "$name" tx sa 0 pn 1 on key 02 $key2
    blue ip macsec add "$name" rx port 1 address 02:00:00:00:00:01
    blue ip macsec add "$name" rx port 1 address 02:00:00:00:00:01 sa 0 pn 1 on key 01 $key1
}
secure encrypted encrypt on
address encrypted 5
record link-macsec-encrypted wire 4 'ether proto 0x88e5' ping_once 10.0.5.2
both ip link del encrypted
secure signed encrypt off
address signed 6
record link-macsec-integrity wire 4 'ether proto 0x88e5' ping_once 10.0.6.2
both ip link del signed
secure station encrypt off send_sci off end_station on
address station 7
record link-macsec-station wire 4 'ether proto 0x88e5' ping_once 10.0.7.2
both ip link del station

# PPPoE: a server in blue, a client in red, with CHAP. Their files are the guest's own.
modprobe -a pppoe ppp_generic ppp_async ppp_synctty
mkdir -p /etc/ppp /run/pppd
echo '"guest" * "secret" *' >/etc/ppp/chap-secrets
printf '%s\n' require-chap 'lcp-echo-interval 0' noccp nodetach >/etc/ppp/server-options
wire dsl 6
blue pppoe-server -I dsl -C concentrator -S internet -L 10.0.8.1 -R 10.0.8.2 -O /etc/ppp/server-options -F &
server=$!
dial() {
    red pppd plugin rp-pppoe.so dsl user guest noauth noipdefault nodefaultroute nodetach noccp logfile /tmp/ppp.log debug &
    local client=$!
    until red ip address show | grep -q 'inet 10.0.8'; do
        kill -0 $client || { cat /tmp/ppp.log; return 1; }
    done
    ping_once 10.0.8.1
    kill $client
    wait $client || true
} >&2
record link-pppoe dsl 24 'ether proto 0x8863 or ether proto 0x8864' dial
kill $server

# What nobody here makes.
wire frames 7
for frame in $(python3 "$here/make-link.py" list); do
    count=$(python3 "$here/make-link.py" count "$frame")
    record "$frame" frames "$count" '' red python3 "$here/make-link.py" send "$frame" frames
done

### Tunnels

modprobe -a ip_gre ip6_gre ipip sit ip6_tunnel vxlan geneve
add plain "type gre $v4" "type gre $v4_back"
address plain 10
record tunnel-gre wire 4 'proto gre' ping_both 10.0.10.2 fd00:10::2
both ip link del plain
add options "type gre $v4" "type gre $v4_back" csum key 42 seq
address options 11
record tunnel-gre-options wire 2 'proto gre' ping_once 10.0.11.2
both ip link del options
add tap "address 02:00:00:00:12:01 type gretap $v4" "address 02:00:00:00:12:02 type gretap $v4_back" key 10752
address tap 12
record tunnel-gretap wire 4 'proto gre' ping_once 10.0.12.2
both ip link del tap
add plain6 "type ip6gre $v6" "type ip6gre $v6_back" encaplimit none
address plain6 13
record tunnel-ip6gre wire 2 'ip6 proto gre' ping_once 10.0.13.2
both ip link del plain6
add limited "address 02:00:00:00:14:01 type ip6gretap $v6" "address 02:00:00:00:14:02 type ip6gretap $v6_back"
address limited 14
record tunnel-ip6gretap wire 4 ip6 ping_once 10.0.14.2
both ip link del limited
for version in 0 "1 erspan 123" "2 erspan_dir egress erspan_hwid 7"; do
    number=$((${version%% *} + 15))
    add span "address 02:00:00:00:$number:01 type erspan $v4" "address 02:00:00:00:$number:02 type erspan $v4_back" \
        seq key 77 erspan_ver $version
    address span $number
    record "tunnel-erspan$((${version%% *} + 1))" wire 4 'proto gre' ping_once 10.0.$number.2
    both ip link del span
done

add ipip "type ipip $v4" "type ipip $v4_back"
address ipip 20
record tunnel-ipip wire 2 'ip proto 4' ping_once 10.0.20.2
both ip link del ipip
add sit "type sit $v4" "type sit $v4_back"
address sit 21
record tunnel-sit wire 2 'ip proto 41' ping_once fd00:21::2
both ip link del sit
add six "type ip6tnl $v6" "type ip6tnl $v6_back" mode any
address six 22
record tunnel-ip6tnl wire 4 ip6 ping_both 10.0.22.2 fd00:22::2
both ip link del six
add mpls "type ipip $v4" "type ipip $v4_back" mode mplsip
both ip link set mpls up
red ip route add 10.0.23.2/32 encap mpls 600 dev mpls src 10.0.0.1
record tunnel-mpls-in-ip wire 1 'ip proto 137' ping_once 10.0.23.2
both ip link del mpls

vxlan() { # NUMBER OPTIONS...
    local number=$1
    shift
    add overlay "address 02:00:00:00:$number:01 type vxlan $v4" "address 02:00:00:00:$number:02 type vxlan $v4_back" "$@"
    address overlay "$number"
}
vxlan 30 id 100 dstport 4789
record tunnel-vxlan wire 4 'udp port 4789' ping_once 10.0.30.2
both ip link del overlay
vxlan 31 id 16777215 dstport 4789 gbp
red nft 'table ip policy_mark { chain out { type route hook output priority mangle; ip daddr 10.0.31.2 meta mark set 0x123; }; }'
record tunnel-vxlan-gbp wire 4 'udp port 4789' ping_once 10.0.31.2
both ip link del overlay
vxlan 32 id 5 dstport 8472
record tunnel-vxlan-8472 wire 4 'udp port 8472' ping_once 10.0.32.2
both ip link del overlay
add overlay "type vxlan" "type vxlan" dstport 4790 gpe external
address overlay 33
red ip route add 10.0.33.9/32 encap ip id 6 dst 10.0.0.2 dev overlay
red ip route add fd00:33::9/128 encap ip id 6 dst 10.0.0.2 dev overlay
record tunnel-vxlan-gpe wire 2 'udp port 4790' ping_both 10.0.33.9 fd00:33::9
both ip link del overlay

add overlay "address 02:00:00:00:34:01 type geneve remote 10.0.0.2" \
    "address 02:00:00:00:34:02 type geneve remote 10.0.0.1" id 200
address overlay 34
record tunnel-geneve wire 4 'udp port 6081' ping_once 10.0.34.2
both ip link del overlay
both ip link add overlay type geneve external
address overlay 35
red ip route add 10.0.35.9/32 encap ip id 201 dst 10.0.0.2 geneve_opts 0:1:11223344,102:128:0102030405060708 \
    via 10.0.35.2 dev overlay
red ip neigh add 10.0.35.2 lladdr 02:00:00:00:35:02 dev overlay
record tunnel-geneve-options wire 1 'udp port 6081' ping_once 10.0.35.9
both ip link del overlay

# A tunnel in a tunnel, with a VLAN tag between.
vxlan 36 id 300 dstport 4789
both ip link add link overlay name overlay.7 type vlan id 7
address overlay.7 37
add deep "type gre local 10.0.37.1 remote 10.0.37.2" "type gre local 10.0.37.2 remote 10.0.37.1"
address deep 38
record tunnel-nested wire 4 'udp port 4789' ping_once 10.0.38.2
both ip link del overlay

secret=0x000102030405060708090a0b0c0d0e0f10111213
crypt=0x000102030405060708090a0b0c0d0e0f
# ipsec MODE PROTOCOL SOURCE DESTINATION SPI SELECTOR ALGORITHMS...: one direction, the same in both namespaces
ipsec() {
    local mode=$1 protocol=$2 source=$3 destination=$4 spi=$5 selector=$6 template
    shift 6
    template="src $source dst $destination proto $protocol mode $mode"
    both ip xfrm state add src "$source" dst "$destination" proto "$protocol" spi "$spi" mode "$mode" "$@"
    if [[ $source = *1 ]]; then
        red ip xfrm policy add $selector dir out tmpl $template
        blue ip xfrm policy add $selector dir in tmpl $template
    else
        blue ip xfrm policy add $selector dir out tmpl $template
        red ip xfrm policy add $selector dir in tmpl $template
    fi
}
forget() { both ip xfrm policy flush; both ip xfrm state flush; }
pair() { # MODE PROTOCOL A B ALGORITHMS...: both directions, for pings between A and B
    local mode=$1 protocol=$2 a=$3 b=$4
    shift 4
    local icmp=icmp
    [[ $a = *:* ]] && icmp=ipv6-icmp
    # Echoes only: neighbours must still be found.
    local type=8 back=0
    [[ $a = *:* ]] && type=128 back=129
    ipsec "$mode" "$protocol" "$a" "$b" 0x100 "src $a dst $b proto $icmp type $type" "$@"
    ipsec "$mode" "$protocol" "$b" "$a" 0x200 "src $b dst $a proto $icmp type $back" "$@"
}
hash=(auth-trunc 'hmac(sha256)' $secret 128)
cipher=("${hash[@]}" enc 'cbc(aes)' $crypt)
for mode in transport tunnel; do
    pair $mode esp 10.0.0.1 10.0.0.2 "${cipher[@]}"
    record tunnel-esp-$mode wire 2 'ip proto 50' ping_once 10.0.0.2
    forget
    pair $mode ah 10.0.0.1 10.0.0.2 "${hash[@]}"
    record tunnel-ah-$mode wire 2 'ip proto 51' ping_once 10.0.0.2
    forget
done
pair tunnel esp fd00:0::1 fd00:0::2 "${cipher[@]}"
record tunnel-esp6 wire 2 'ip6 proto 50' ping_once fd00:0::2
forget
pair transport ah fd00:0::1 fd00:0::2 "${hash[@]}"
record tunnel-ah6 wire 2 'ip6[6] == 51' ping_once fd00:0::2
forget
pair transport esp 10.0.0.1 10.0.0.2 "${cipher[@]}" encap espinudp 4500 4500 0.0.0.0
record tunnel-esp-in-udp wire 1 'udp port 4500' ping_once 10.0.0.2
forget
pair transport comp 10.0.0.1 10.0.0.2 comp deflate
record tunnel-ipcomp wire 1 'ip proto 108' red ping -n -c 1 -W 1 -s 400 10.0.0.2
forget

modprobe -a l2tp_eth l2tp_ip
for encap in udp ip; do
    red ip l2tp add tunnel tunnel_id 10 peer_tunnel_id 20 encap $encap local 10.0.0.1 remote 10.0.0.2 \
        udp_sport 1701 udp_dport 1701
    blue ip l2tp add tunnel tunnel_id 20 peer_tunnel_id 10 encap $encap local 10.0.0.2 remote 10.0.0.1 \
        udp_sport 1701 udp_dport 1701
    red ip l2tp add session name over-$encap tunnel_id 10 session_id 1000 peer_session_id 2000
    blue ip l2tp add session name over-$encap tunnel_id 20 session_id 2000 peer_session_id 1000
    address over-$encap 40
    record tunnel-l2tp-$encap wire 2 'udp port 1701 or ip proto 115' ping_once 10.0.40.2
    red ip l2tp del tunnel tunnel_id 10
    blue ip l2tp del tunnel tunnel_id 20
done

both ip link add guard type wireguard
for namespace in red blue; do wg genkey >"/tmp/$namespace.key"; done
allowed="allowed-ips 10.0.41.0/24,fd00:41::/64"
red wg set guard private-key /tmp/red.key listen-port 51820 \
    peer "$(wg pubkey </tmp/blue.key)" endpoint 10.0.0.2:51820 $allowed
blue wg set guard private-key /tmp/blue.key listen-port 51820 peer "$(wg pubkey </tmp/red.key)" $allowed
address guard 41
record tunnel-wireguard wire 4 'udp port 51820' ping_once 10.0.41.2
# On a device that has no link layer.
record link-raw guard 4 '' ping_both 10.0.41.2 fd00:41::2

exit $failed
