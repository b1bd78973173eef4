#!/usr/bin/env python3
"""answer.py INTERFACE PROTOCOL:PORT[-LAST]…: a host that answers on these ports, over IPv4 and IPv6.

PROTOCOL "udp" sends every datagram back to its sender, on port 53 marked as a DNS response; "tcp" takes
connections, and says nothing. Returns once all ports are bound; a process in the background then answers
until killed. Checksum offload on INTERFACE is turned off first: across a veth a checksum is otherwise
never finished, and a capture would show it as wrong.
"""
import array
import fcntl
import os
import select
import socket
import struct
import sys

SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17


def finish_checksums(interface):
    command = array.array("I", [ETHTOOL_STXCSUM, 0])
    request = struct.pack("16sP16x", interface.encode(), command.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def bound(protocol, port):
    kind = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}[protocol]
    listener = socket.socket(socket.AF_INET6, kind)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        listener.listen(100)
    return listener


def answer(listener):
    if listener.type == socket.SOCK_STREAM:
        listener.accept()[0].close()
        return
    datagram, sender = listener.recvfrom(65536)
    if listener.getsockname()[1] == 53 and len(datagram) > 2:
        datagram = datagram[:2] + bytes([datagram[2] | 0x80]) + datagram[3:]
    listener.sendto(datagram, sender)


def main():
    interface, *wanted = sys.argv[1:]
    finish_checksums(interface)
    listeners = []
    for word in wanted:
        protocol, ports = word.split(":")
        first, _, last = ports.partition("-")
        listeners += [bound(protocol, port) for port in range(int(first), int(last or first) + 1)]
    if os.fork() > 0:
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    while True:
        for listener in select.select(listeners, [], [])[0]:
            try:
                answer(listener)
            except OSError:  # whoever asked is gone
                pass


main()
