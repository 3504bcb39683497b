#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Makes the files `made-upper-*.pcap` with scapy (`pip install scapy`): what Linux does not send, or only when something is broken.

    python3 collectors/tests/packets/make-upper.py collectors/tests/packets
"""

import pathlib
import sys

from scapy.all import (
    BOOTP, DHCP, DNS, DNSQR, DNSRR, ICMP, IP, TCP, UDP, Ether, ICMPv6MLDone, ICMPv6MLQuery, ICMPv6MLReport, ICMPv6ND_NS, ICMPv6ND_RA,
    ICMPv6ND_Redirect, ICMPv6NDOptDstLLAddr, ICMPv6NDOptRedirectedHdr, ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Jumbo, Raw, ARP, wrpcap,
)
from scapy.layers.dhcp6 import DHCP6_RelayForward, DHCP6_Solicit, DHCP6OptClientId, DHCP6OptRelayMsg, DUID_LL

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x0800)
IP4 = ETHER / IP(src="10.1.0.1", dst="10.2.0.2", id=7)
ETHER6 = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x86DD)
IP6 = ETHER6 / IPv6(src="fd01::1", dst="fd02::2", fl=0x12345)
QUOTED = IP(src="10.2.0.2", dst="10.1.0.1", id=77, ttl=3) / UDP(sport=4000, dport=4001) / b"quoted"
QUOTED6 = IPv6(src="fd02::2", dst="fd01::1", hlim=3) / TCP(sport=4000, dport=4001, seq=99)


def ip(options: bytes, **fields):
    options += b"\0" * (-len(options) % 4)
    header = bytearray(bytes(IP(src="10.1.0.1", dst="10.2.0.2", id=8, proto=1, len=28 + len(options), **fields)))
    header[0] += len(options) // 4
    return ETHER / Raw(bytes(header) + options + bytes(ICMP(id=1, seq=2)))


def tcp(options: bytes, **fields):
    options += b"\1" * (-len(options) % 4)
    header = bytearray(bytes(TCP(sport=40000, dport=80, seq=1000, ack=2000, flags="A", window=512, **fields)))
    header[12] = (5 + len(options) // 4) << 4 | header[12] & 15
    return over4(6, bytes(header) + options)


def over4(protocol: int, data: bytes):
    return ETHER / IP(src="10.1.0.1", dst="10.2.0.2", id=7, proto=protocol) / data


def over6(protocol: int, data: bytes):
    return ETHER6 / IPv6(src="fd01::1", dst="fd02::2", fl=0x12345, nh=protocol) / data


ADDRESSES = bytes([10, 0, 0, 1, 10, 0, 0, 2])

IPV4 = [
    # At their end: before it, tshark takes the last address of the route for the destination.
    ip(bytes([131, 11, 12]) + ADDRESSES),
    ip(bytes([137, 11, 12]) + ADDRESSES),
    ip(bytes([7, 11, 12]) + ADDRESSES),
    ip(bytes([148, 4, 0, 0])),
    ip(bytes([148, 4, 0, 5])),
    ip(bytes([130, 11, 0xAB, 0xCD, 0, 0, 0, 0, 0, 0, 0])),
    ip(bytes([68, 20, 13, 0x31]) + ADDRESSES[:4] + bytes([0, 0, 3, 232]) + ADDRESSES[4:] + bytes(4)),
    ip(bytes([1, 30, 4, 1, 2])),
    IP4 / ICMP(type=13, id=5, seq=6, ts_ori=1000, ts_rx=0, ts_tx=0),
    IP4 / ICMP(type=14, id=5, seq=6, ts_ori=43200000, ts_rx=43200123, ts_tx=43200124),
    IP4 / ICMP(type=17, id=5, seq=6),
    IP4 / ICMP(type=18, id=5, seq=6, addr_mask="255.255.255.0"),
    IP4 / ICMP(type=5, code=1, gw="10.1.0.253") / QUOTED,
    IP4 / ICMP(type=12, code=0, ptr=20) / QUOTED,
    IP4 / ICMP(type=11, code=1) / QUOTED,
    IP4 / ICMP(type=4) / QUOTED,
    IP4 / ICMP(type=3, code=4, nexthopmtu=1400) / QUOTED,
    IP4 / ICMP(type=3, code=13) / IP(src="10.2.0.2", dst="10.1.0.1", proto=1) / ICMP(id=3, seq=4),
    IP4 / ICMP(type=10),
    over4(1, bytes([9, 0, 0, 0, 1, 2, 7, 8, 10, 1, 0, 254, 0, 0, 0, 9])),
    IP4 / ICMP(type=99),
    ETHER / IP(src="10.1.0.1", dst="10.2.0.2", id=9, flags=4, tos=0x2E) / UDP(sport=1, dport=2) / b"reserved",
    ETHER / IP(src="10.1.0.1", dst="10.2.0.2", id=9, flags=1, frag=100, proto=17) / b"later fragment..",
    over4(253, b"hello"),
    over4(17, bytes([0, 1, 0, 2, 0, 99, 0, 0]) + b"short"),
    over4(112, bytes([0x21, 9, 100, 1, 0, 1, 0, 0, 10, 1, 0, 9]) + bytes(8)),
    over4(2, bytes([0x11, 100, 0, 0, 0, 0, 0, 0])),
    over4(2, bytes([0x11, 0, 0, 0, 0, 0, 0, 0])),
    over4(2, bytes([0x11, 50, 0, 0, 239, 1, 1, 1, 0x0A, 60, 0, 1, 10, 0, 0, 1])),
    over4(2, bytes([0x22, 0, 0, 0, 0, 0, 0, 1, 6, 0, 0, 2, 239, 1, 1, 1]) + ADDRESSES),
    Ether(src="02:00:00:00:00:01") / ARP(op=1, psrc="10.1.0.1", pdst="10.1.0.1", hwsrc="02:00:00:00:00:01"),
    Ether(src="02:00:00:00:00:01") / ARP(op=2, psrc="10.1.0.1", pdst="10.1.0.2", hwsrc="02:00:00:00:00:01", hwdst="02:00:00:00:00:02"),
]

MALFORMED = [
    ip(bytes([131, 11, 4]) + ADDRESSES),
    ip(bytes([137, 11, 8]) + ADDRESSES),
    IP4 / UDP(sport=53, dport=4000)
    / DNS(id=11, qr=1, tc=1, ad=1, qd=DNSQR(qname="a b.\x07\xff.example."), an=DNSRR(rrname="x.example.", type="TXT", rdata=["\x1b[2J", "ok"])),
    ip(bytes([1, 7, 200, 4])),
    ip(bytes([131, 10, 5]) + ADDRESSES[:7]),
    ETHER / IP(src="10.1.0.1", dst="10.2.0.2", len=400) / UDP(sport=1, dport=2) / b"cut",
    ETHER / IP(src="10.1.0.1", dst="10.2.0.2", len=10) / UDP(sport=1, dport=2),
    ETHER / IP(src="10.1.0.1", dst="10.2.0.2", ihl=3) / UDP(sport=1, dport=2),
    ETHER / IP(src="10.1.0.1", dst="10.2.0.2", version=7) / UDP(sport=1, dport=2),
    over4(17, bytes([0, 1, 0, 2, 0, 4, 0, 0])),
    tcp(bytes([2, 3, 5])),
    tcp(bytes([8, 10, 1, 2])),
    tcp(bytes([30, 5, 0x10, 1, 2])),
    tcp(bytes([5, 9]) + bytes(7)),
    over4(6, bytes([0x9C, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x40, 0x10, 2, 0, 0, 0, 0, 0])),
    over4(132, bytes([0, 1, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 3, 0, 2])),
    IP4 / UDP(sport=53, dport=4000) / bytes.fromhex("1234818000010001000000000361626300000100 01c00c000100010000003c0004"),
    IP4 / UDP(sport=53, dport=4000) / bytes.fromhex("123481800001000000000000c00c00010001"),
    over6(43, bytes([17, 2, 4, 1, 9, 0, 0, 0]) + bytes(16)),
    IP6 / ICMPv6ND_NS(tgt="fd02::2") / bytes([1, 0, 0, 0, 0, 0, 0, 0]),
]

TCP_OPTIONS = [
    tcp(bytes([28, 4, 0x80, 5])),
    tcp(bytes([28, 4, 0, 30])),
    tcp(bytes([29, 16, 1, 2]) + bytes(range(12))),
    tcp(bytes([19, 18]) + bytes(range(16))),
    tcp(bytes([34, 2])),
    tcp(bytes([34, 10]) + bytes(range(8))),
    tcp(bytes([254, 4, 0xF9, 0x89])),
    tcp(bytes([253, 6, 0x12, 0x34, 1, 2])),
    tcp(bytes([77, 4, 1, 2])),
    tcp(bytes([30, 4, 0x00, 0x81])),
    tcp(bytes([30, 12, 0x01, 0x81]) + bytes(range(8))),
    tcp(bytes([30, 16, 0x30, 2, 10, 9, 0, 1]) + bytes(range(8))),
    tcp(bytes([30, 10, 0x31, 3, 10, 9, 0, 1, 0x1F, 0x90])),
    tcp(bytes([30, 28, 0x30, 4]) + bytes.fromhex("fd010000000000000000000000000009") + bytes(range(8))),
    tcp(bytes([30, 5, 0x40, 7, 8])),
    tcp(bytes([30, 3, 0x51])),
    tcp(bytes([30, 4, 0x51, 6])),
    tcp(bytes([30, 12, 0x60, 0]) + bytes(range(8))),
    tcp(bytes([30, 12, 0x70, 0]) + bytes(range(8))),
    tcp(bytes([30, 4, 0x81, 3])),
    tcp(bytes([30, 12, 0x11, 9, 0, 0, 0, 1, 0, 0, 0, 2])),
    tcp(bytes([30, 16, 0x10, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3])),
    tcp(bytes([30, 24, 0x10, 0]) + bytes(range(20))),
    IP4 / TCP(sport=40000, dport=80, seq=5, ack=6, flags="SECN", window=1),
    IP4 / TCP(sport=40000, dport=80, seq=5, ack=6, flags="FSRPAUECN", window=1, urgptr=9) / b"xmas",
    IP4 / TCP(sport=40000, dport=80, seq=0xFFFFFFFE, ack=6, flags="", window=1) / b"null",
]

IPV6 = [
    IP6 / IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)]) / UDP(sport=1, dport=2) / b"jumbo",
    IP6 / IPv6ExtHdrRouting(type=0, segleft=1, addresses=["fd0a::1", "fd0b::1"]) / UDP(sport=1, dport=2),
    IP6 / IPv6ExtHdrRouting(type=2, segleft=1, addresses=["fd0a::1"]) / UDP(sport=1, dport=2),
    over6(60, bytes([43, 2, 201, 16]) + bytes.fromhex("fd0100000000000000000000000000aa") + bytes([1, 2, 0, 0])
                  + bytes([44, 2, 3, 0]) + bytes(20) + bytes([17, 0, 0, 1, 0, 0, 0, 9]) + bytes([0, 1, 0, 2, 0, 8, 0, 0])),
    IP6 / IPv6ExtHdrFragment(offset=100, m=1, id=0xABCDEF, nh=17) / b"later fragment..",
    IP6 / IPv6ExtHdrDestOpt(nh=59),
    over6(253, b"hello"),
    IP6 / ICMPv6ND_Redirect(tgt="fe80::9", dst="fd0c::1") / ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:09")
    / ICMPv6NDOptRedirectedHdr(pkt=QUOTED6),
    IP6 / ICMPv6ND_RA(chlim=64, M=1, O=1, H=1, prf=3, routerlifetime=1800, reachabletime=1, retranstimer=2)
    / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01") / bytes.fromhex("2602 0708 0064ff9b0000000000000000"),
    IP6 / ICMPv6MLQuery(mladdr="ff05::7", mrd=5000),
    IP6 / ICMPv6MLReport(mladdr="ff05::7"),
    IP6 / ICMPv6MLDone(mladdr="ff05::7"),
    over6(58, bytes([130, 0, 0, 0, 0x27, 0x10, 0, 0]) + bytes.fromhex("ff050000000000000000000000000007")
                  + bytes([0x0A, 125, 0, 1]) + bytes.fromhex("fd010000000000000000000000000001")),
    over6(58, bytes([143, 0, 0, 0, 0, 0, 0, 1, 6, 0, 0, 1]) + bytes.fromhex("ff050000000000000000000000000007")
                  + bytes.fromhex("fd010000000000000000000000000001")),
    over6(58, bytes([2, 0, 0, 0, 0, 0, 5, 0]) + bytes(QUOTED6)),
    over6(58, bytes([4, 1, 0, 0, 0, 0, 0, 40]) + bytes(QUOTED6)),
    over6(58, bytes([200, 7, 0, 0, 0, 0, 0, 0])),
]

SERVICES = [
    ETHER / IP(src="10.1.0.1", dst="224.0.0.251", id=1) / UDP(sport=5353, dport=5353)
    / DNS(id=0, qr=1, aa=1, qd=None, an=[DNSRR(rrname="printer.local.", type="A", rclass=0x8001, ttl=120, rdata="10.1.0.9"),
          DNSRR(rrname="_ipp._tcp.local.", type="PTR", ttl=120, rdata="printer._ipp._tcp.local.")]),
    ETHER / IP(src="10.1.0.1", dst="224.0.0.251", id=1) / UDP(sport=5353, dport=5353)
    / DNS(id=0, qd=DNSQR(qname="printer.local.", qtype="AAAA", qclass=0x8001)),
    IP4 / UDP(sport=53, dport=4000) / DNS(id=9, qr=1, rcode=2, ra=1, qd=DNSQR(qname="broken.example.")),
    IP4 / UDP(sport=53, dport=4000) / DNS(id=10, opcode=5, qd=DNSQR(qname="example.", qtype="SOA")),
    IP4 / UDP(sport=68, dport=67) / BOOTP(op=1, chaddr=bytes.fromhex("020000000001"), xid=0xABCD),
    IP4 / UDP(sport=67, dport=68)
    / BOOTP(op=2, chaddr=bytes.fromhex("020000000001"), xid=0xABCD, yiaddr="10.1.0.9", siaddr="10.1.0.254", giaddr="10.1.0.253", flags=0x8000,
            hops=1, secs=3)
    / DHCP(options=[("message-type", "nak"), ("server_id", "10.1.0.254"), ("error_message", b"no\x1b"), "end"]),
    IP4 / UDP(sport=68, dport=67)
    / BOOTP(op=1, chaddr=bytes.fromhex("020000000001"), xid=0xABCE, ciaddr="10.1.0.9")
    / DHCP(options=[("message-type", "release"), ("server_id", "10.1.0.254"), "end"]),
    IP6 / UDP(sport=547, dport=547)
    / DHCP6_RelayForward(hopcount=1, linkaddr="fd01::fe", peeraddr="fe80::1")
    / DHCP6OptRelayMsg(message=DHCP6_Solicit(trid=0xABC) / DHCP6OptClientId(duid=DUID_LL(lladdr="02:00:00:00:00:01"))),
    over4(132, bytes.fromhex("1b591b5a 00000007 00000000"
                                     "0700000800000063" "09000008" "000d0004" "06010010" "000c000c" "6d616e75616c2121"
                                     "c0000008 00000064" "0e000004" "ff000008 01020304")),
    over4(132, bytes.fromhex("1b591b5a 00000007 00000000"
                                     "03000018 00000064 0000ffff 0002 0000 0002 0003 0005 0006"
                                     "0007 0015 00000065 0001 0002 00000033" "68656c6c6f 000000" "0500 0008 0001 0004")),
    over4(33, bytes.fromhex("1b591b5a 07000000 0f 00 0000 0000 0001 0000 0000 0000 0002 04 010203")),
    over4(33, bytes.fromhex("1b591b5a 04000000 08 000005 00 000006") + b"hello"),
]


def main(folder: pathlib.Path) -> None:
    for name, packets in (("ipv4", IPV4), ("malformed", MALFORMED), ("tcp-options", TCP_OPTIONS), ("ipv6", IPV6), ("services", SERVICES)):
        file = folder / f"made-upper-{name}.pcap"
        for packet in packets:
            packet.time = 0
        wrpcap(str(file), packets, linktype=1)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
