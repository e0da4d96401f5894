"""Stands in for the cluster's DNS: addresses of Services, and of the pods behind a headless one."""

import socket
import socketserver
import struct
import threading
import time

DOMAIN = "svc.cluster.local"
A, IN = 1, 1
NO_SUCH_NAME = 3
# A name's answers may change with every pod.
TTL = 1


class Dns:
    """Answers at `address`:53 from what the API server says, which is looked at once a second at most."""

    def __init__(self, plane, address):
        self.plane = plane
        self.names, self.looked = {}, 0.0
        self.lock = threading.Lock()
        dns = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                question, reply_by = self.request
                reply_by.sendto(dns.answer(question), self.client_address)

        self.server = socketserver.ThreadingUDPServer((address, 53), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def look(self):
        """All names there are."""
        with self.lock:
            if time.monotonic() - self.looked < 1:
                return self.names
            try:
                services = self.plane.request("GET", "/api/v1/services")["items"]
                endpoints = self.plane.request("GET", "/api/v1/endpoints")["items"]
            except OSError:
                return self.names
            names = {}
            for service in services:
                address = service["spec"].get("clusterIP")
                if address != "None":
                    names[self.of(service)] = [address]
            for endpoint in endpoints:
                found = []
                for subset in endpoint.get("subsets", []):
                    for each in subset.get("addresses", []) + subset.get("notReadyAddresses", []):
                        found.append(each["ip"])
                        if "hostname" in each:
                            names[f"{each['hostname']}.{self.of(endpoint)}"] = [each["ip"]]
                names.setdefault(self.of(endpoint), found)
            self.names, self.looked = names, time.monotonic()
            return names

    @staticmethod
    def of(document):
        return f"{document['metadata']['name']}.{document['metadata']['namespace']}.{DOMAIN}"

    def answer(self, question):
        """A reply to one packet with one question [RFC 1035, 4.1]."""
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind, _ = struct.unpack_from(">HH", question, at + 1)
        asked = question[12 : at + 5]
        addresses = self.look().get(".".join(labels).lower())
        answers = addresses if kind == A and addresses else []
        flags = 0x8580 | (NO_SUCH_NAME if addresses is None else 0)
        reply = question[:2] + struct.pack(">HHHHH", flags, 1, len(answers), 0, 0) + asked
        for address in answers:
            # The name is that of the question, at offset 12.
            reply += struct.pack(">HHHIH", 0xC00C, A, IN, TTL, 4) + socket.inet_aton(address)
        return reply
