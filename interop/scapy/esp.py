"""scapy as an independent implementation of ESP (RFC 4303).

Reads what our implementation sealed from standard input, opens each packet, seals packets of its own and writes them to
standard output; both as JSON:

    in:  [{"suite", "crypt", "auth", "crypt_key", "auth_key", "spi", "esn", "packets": [{"high", "outer", "inner"}]}]
    out: [{"suite", "opened", "refused", "faults": [text], "sealed": [{"high", "outer", "inner"}]}]
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

from scapy.config import conf  # noqa: E402

conf.verb = 0

from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation  # noqa: E402


def parse(octets):
    return IP(octets) if octets[0] >> 4 == 4 else IPv6(octets)


def association(suite, outer, udp=None):
    return SecurityAssociation(
        ESP,
        spi=suite["spi"],
        crypt_algo=suite["crypt"],
        crypt_key=bytes.fromhex(suite["crypt_key"]),
        auth_algo=suite["auth"],
        auth_key=bytes.fromhex(suite["auth_key"]) if suite["auth"] else None,
        tunnel_header=outer,
        nat_t_header=udp,
        esn_en=suite["esn"],
    )


def open_packet(suite, octets, high):
    packet = parse(octets)
    header = IP(src="192.0.2.1", dst="192.0.2.2") if packet.version == 4 else IPv6(src="2001:db8::1", dst="2001:db8::2")
    return bytes(association(suite, header).decrypt(packet, esn_en=suite["esn"], esn=high))


def check(suite, result):
    for number, packet in enumerate(suite["packets"]):
        octets, inner = bytes.fromhex(packet["outer"]), bytes.fromhex(packet["inner"])
        try:
            opened = open_packet(suite, octets, packet["high"])
        except Exception as error:  # whatever scapy says is a fault of ours until shown otherwise
            result["faults"].append("packet %d: %s: %s" % (number, type(error).__name__, error))
            continue
        if opened == inner:
            result["opened"] += 1
        else:
            result["faults"].append("packet %d: opened as %s instead of %s" % (number, opened.hex(), inner.hex()))
    # The control: what scapy accepts says something only if it refuses as well.
    damaged = bytearray.fromhex(suite["packets"][-1]["outer"])
    damaged[-1] ^= 1
    try:
        open_packet(suite, bytes(damaged), suite["packets"][-1]["high"])
        result["faults"].append("a damaged ICV was accepted")
    except IPSecIntegrityError:
        result["refused"] += 1


def seal(suite, result):
    outers = [
        (IP(src="192.0.2.2", dst="192.0.2.1"), None),
        (IPv6(src="2001:db8::2", dst="2001:db8::1"), None),
        (IP(src="192.0.2.2", dst="192.0.2.1"), UDP(sport=4500, dport=4500)),
    ]
    for number, packet in enumerate(suite["packets"]):
        outer, udp = outers[number % len(outers)]
        inner = bytes.fromhex(packet["inner"])
        sealed = association(suite, outer, udp).encrypt(
            parse(inner), seq_num=number + 1, esn_en=suite["esn"], esn=packet["high"]
        )
        result["sealed"].append({"high": packet["high"], "outer": bytes(sealed).hex(), "inner": packet["inner"]})


def main():
    results = []
    for suite in json.load(sys.stdin):
        result = {"suite": suite["suite"], "opened": 0, "refused": 0, "faults": [], "sealed": []}
        try:
            check(suite, result)
            seal(suite, result)
        except Exception as error:
            result["faults"].append("%s: %s" % (type(error).__name__, error))
        results.append(result)
    json.dump(results, sys.stdout)


main()
