#!/usr/bin/env python3
"""reflect.py INTERFACE SOURCE COUNT: sends COUNT UDP datagrams from SOURCE back by the INTERFACE that they came in by,
each four times: as it is, with another TTL, with another IP-ID, with another destination port.

Says "ready" once it sees what comes in, and "reflected" once all are sent. The checksums of what it changed are wrong,
as forged ones may be. Where frames have no link header (tun), it sends none.
"""
import socket
import sys

ETH_P_IP, PACKET_OUTGOING, ETHERNET = 0x0800, 4, 14


def forged(datagram):
    yield datagram
    for place in (8, 5, 23):  # TTL, IP-ID, destination port: their last octets
        other = bytearray(datagram)
        other[place] ^= 0x05
        yield bytes(other)


def main():
    interface, source, count = sys.argv[1], socket.inet_aton(sys.argv[2]), int(sys.argv[3])
    cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    cable.bind((interface, ETH_P_IP))
    print("ready", flush=True)
    while count:
        frame, (_, _, direction, kind, _) = cable.recvfrom(65536)
        head = ETHERNET if kind == 1 else 0
        datagram = frame[head:]
        if direction == PACKET_OUTGOING or datagram[9] != socket.IPPROTO_UDP or datagram[12:16] != source:
            continue
        back = frame[6:12] + frame[:6] + frame[12:14] if head else b""
        for other in forged(datagram):
            cable.send(back + other)
        count -= 1
    print("reflected", flush=True)


main()
