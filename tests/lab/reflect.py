#!/usr/bin/env python3
"""reflect.py INTERFACE SOURCE COUNT: sends COUNT UDP datagrams from SOURCE back by the INTERFACE that they came in by,
each four times: as it is, with another TTL, with another IP-ID, with another destination port.

Says "ready" once it sees what comes in. When all are sent it sends a second time what this host itself said last by
ICMP, so that it can be told when they have arrived. The checksums of what it changed are wrong, as forged ones may be. Where frames have no link header (tun), it sends none.
"""
import socket
import sys

ETH_P_ALL, PACKET_OUTGOING, ETHERNET = 0x0003, 4, 14


def forged(datagram):
    yield datagram
    for place in (8, 5, 23):  # TTL, IP-ID, destination port: their last octets
        other = bytearray(datagram)
        other[place] ^= 0x05
        yield bytes(other)


def main():
    interface, source, count = sys.argv[1], socket.inet_aton(sys.argv[2]), int(sys.argv[3])
    cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    cable.bind((interface, ETH_P_ALL))
    print("ready", flush=True)
    said = None
    while count or not said:
        frame, (_, _, direction, kind, _) = cable.recvfrom(65536)
        head = ETHERNET if kind == 1 else 0
        datagram = frame[head:]
        if len(datagram) < 24 or datagram[0] >> 4 != 4:
            continue
        if direction == PACKET_OUTGOING:
            said = frame if datagram[9] == socket.IPPROTO_ICMP else said
        elif count and datagram[9] == socket.IPPROTO_UDP and datagram[12:16] == source:
            back = frame[6:12] + frame[:6] + frame[12:14] if head else b""
            for other in forged(datagram):
                cable.send(back + other)
            count -= 1
    cable.send(said)


main()
