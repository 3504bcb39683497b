#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Frames that neither Debian's kernels nor its packages send, built by hand from the standards; capture-link.sh puts them on a
wire. `make-link.py list`, `make-link.py count NAME`, `make-link.py send NAME DEVICE`."""

import socket
import struct
import sys

HOST = "020000000701"
PEER = "020000000702"


def frame(destination: str, rest: str, pad: bool = True) -> bytes:
    """A frame from HOST; a real network card pads what is short."""
    data = bytes.fromhex(destination + HOST + rest)
    return data.ljust(60, b"\0") if pad else data


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ipv4(protocol: int, payload: bytes, source: str = "10.0.7.1", destination: str = "10.0.7.2") -> bytes:
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def udp(source: int, destination: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(payload), 0) + payload


def packet(protocol: int, payload: bytes) -> bytes:
    return frame(PEER, "0800") [:14] + ipv4(protocol, payload)


ECHO = bytes.fromhex("0800f5f90001000100010203")
INNER = ipv4(1, ECHO, "192.168.0.1", "192.168.0.2")


def datagram(port: int, payload: str | bytes) -> bytes:
    return packet(17, udp(40000, port, bytes.fromhex(payload) if isinstance(payload, str) else payload))


def tlv(kind: int, value: bytes) -> bytes:
    """A TLV of LLDP."""
    return struct.pack("!H", kind << 9 | len(value)) + value


LLDP = (tlv(1, b"\4" + bytes.fromhex(HOST)) + tlv(2, b"\5eth0") + tlv(3, b"\0\x78") + tlv(4, b"to the rack \"A\"")
        + tlv(5, b"switch\x1b[1m-1.example") + tlv(6, b"Debian GNU/Linux") + tlv(7, b"\0\x14\0\4")
        + tlv(8, b"\5\1\x0a\0\7\1\2\0\0\0\2\0") + tlv(127, bytes.fromhex("0080c2010064")) + tlv(0, b""))

RSTP = ("0000 02 02 7c 8000 0200000000aa 00004e20 9000 020000000701 8002 0100 1400 0200 0f00 00")

FRAMES = {
    "link-lldp": [frame("0180c200000e", "88cc" + LLDP.hex())],
    # A proposal with all roles and timers; a topology change of 802.1D; an MSTP BPDU without instances.
    "link-rstp": [
        frame("0180c2000000", "0027 424203" + RSTP),
        frame("0180c2000000", "0007 424203 0000 00 80"),
        frame("0180c2000000", "0069 424203 0000 03 02 7c 8000 0200000000aa 00000000 8000 0200000000aa 8001 0000 1400 0200 0f00"
              "00 0040 00" + b"region".ljust(32, b"\0").hex() + "0001" + "ac36177f50283cd4b83821d8ab26de62"
              "00000000 8000 020000000701 14"),
    ],
    # Novell's IPX behind an LLC header, CDP and an IPv4 packet behind SNAP, a supervisory frame, and a raw 802.3 frame.
    "link-llc": [
        frame("ffffffffffff", "0021 e0e003 ffff 001e 00 00 00000000 ffffffffffff 0453 00000000 020000000701 0453"),
        frame("01000ccccccc", "0017 aaaa03 00000c 2000 02b4 0000 0001 000b 73776974636831"),
        frame(PEER, f"{8 + len(INNER):04x} aaaa03 000000 0800" + INNER.hex()),
        frame(PEER, "0004 f0f1 0102"),
    ],
    # Start and logoff of EAPOL, an identity request, a key.
    "link-eapol": [
        frame("0180c2000003", "888e 02 01 0000"),
        frame("0180c2000003", "888e 02 00 0005 01 07 0005 01"),
        frame("0180c2000003", "888e 01 02 0000"),
        frame("0180c2000003", "888e 02 03 0005 02 00 0000 00"),
    ],
    # PTP: sync, announce and a peer delay request, of version 2.
    "link-ptp": [
        frame("011b19000000", "88f7 00 02 002c 03 00 0200 0000000000000000 00000000 020000fffe000701 0001 0102 00 00"
              "00000000000000000000"),
        frame("011b19000000", "88f7 0b 02 0040 00 00 0000 0000000000000000 00000000 020000fffe000701 0001 0007 05 01"
              "00000000000000000000 0025 00 80 f8fe ffff 80 020000fffe000701 0000 a0"),
        frame("0180c200000e", "88f7 02 02 0036 00 00 0000 0000000000000000 00000000 020000fffe000701 0001 0008 05 7f"
              "00000000000000000000 00000000000000000000"),
    ],
    # Padded, as short frames on real wires are; ethertypes for experiments and of no protocol at all.
    "link-padded": [
        frame(PEER, "0800" + ipv4(17, udp(9, 40000, b"x")).hex()),
        frame("ffffffffffff", "0806 0001 0800 06 04 0001" + HOST + "0a000701 000000000000 0a000702"),
        frame(PEER, "8100 6007 0800" + ipv4(17, udp(9, 40000, b"x")).hex()),
        frame(PEER, "88b5" + b"experiment".hex()),
        frame(PEER, "0600 0001"),
    ],
    "link-vlan-9100": [frame(PEER, "9100 3064 8100 00c8 0800" + INNER.hex())],
    # Marker of the slow protocols, and OAM.
    "link-slow": [
        frame("0180c2000002", "8809 02 01 0110 0001 020000000701 00000001 0000 0000"),
        frame("0180c2000002", "8809 03 0050 00"),
    ],
    # Ethernet pseudowires with a control word: a ping, and an ARP request; the associated channel; an unknown payload under another
    # label.
    "link-mpls-control-word": [
        frame(PEER, "8847 0001f1ff 00000007 020000000702 020000000701 0800" + INNER.hex()),
        frame(PEER, "8847 0001f1ff 00000000 ffffffffffff 020000000701 0806 0001080006040001 020000000701 0a000701"
              "000000000000 0a000702"),
        frame(PEER, "8847 0001f1ff 10000007 20c80318"),
        frame(PEER, "8847 000201ff 99999999 01020304"),
    ],
    # A data packet and an acknowledgement of PPTP.
    "tunnel-pptp": [
        packet(47, bytes.fromhex("3081880b 0024 0018 00000003 00000002 ff030021") + INNER),
        packet(47, bytes.fromhex("2081880b 0000 0018 00000003")),
    ],
    "tunnel-nvgre": [
        packet(47, bytes.fromhex("20006558 00138805 020000000702 020000000701 0800") + INNER),
    ],
    # A packet, one with a sequence number and an extension header (PDU session container), echo request, error, end marker.
    "tunnel-gtp": [
        packet(17, udp(2152, 2152, bytes.fromhex("30ff") + struct.pack("!H", len(INNER)) + bytes.fromhex("12345678") + INNER)),
        packet(17, udp(2152, 2152, bytes.fromhex("36ff") + struct.pack("!H", len(INNER) + 8) + bytes.fromhex(
            "00000001 0007 00 85 01 1009 00") + INNER)),
        packet(17, udp(2152, 2152, bytes.fromhex("3201 0004 00000000 0001 0000"))),
        packet(17, udp(2152, 2152, bytes.fromhex("301a 000c 00000000 10 00000001 85 0004 0a000701"))),
        packet(17, udp(2152, 2152, bytes.fromhex("30fe 0000 00000001"))),
    ],
    # L2TPv2: a control message (SCCRQ), its acknowledgement without a body, and data with PPP inside.
    "tunnel-l2tp2": [
        datagram(1701, "c802 0014 0000 0000 0000 0000 8008 0000 0000 0001"),
        datagram(1701, "c802 000c 0001 0000 0001 0001"),
        datagram(1701, bytes.fromhex("0002 0001 0002 ff03 0021") + INNER),
    ],
    "tunnel-mpls-in-udp": [datagram(6635, bytes.fromhex("00064140") + INNER)],
    # Bytes that are no VXLAN at its port, and VXLAN at a port that is not its own.
    "tunnel-not": [
        datagram(4789, b"no vxlan here"),
        datagram(4788, bytes.fromhex("08000000 00006400 020000000702 020000000701 0800") + INNER),
    ],
}


def main() -> None:
    match sys.argv[1:]:
        case ["list"]:
            print(*FRAMES)
        case ["count", name]:
            print(len(FRAMES[name]))
        case ["send", name, device]:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
                wire.bind((device, 0))
                for data in FRAMES[name]:
                    wire.send(data)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
