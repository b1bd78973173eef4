#!/usr/bin/env python3
"""udp_echo.py INTERFACE FIRST LAST: sends every datagram to UDP ports FIRST to LAST back to its sender.

Returns once all ports are bound; a process in the background then answers until killed.
Checksum offload on INTERFACE is turned off first: across a veth a checksum is otherwise never finished,
and a capture would show it as wrong.
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


def bound(port):
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("", port))
    return listener


def main():
    interface, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    finish_checksums(interface)
    listeners = [bound(port) for port in range(first, last + 1)]
    if os.fork() > 0:
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    while True:
        for listener in select.select(listeners, [], [])[0]:
            datagram, sender = listener.recvfrom(65536)
            listener.sendto(datagram, sender)


main()
