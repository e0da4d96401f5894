"""What dt-chart says to the agent, and where it runs it."""

import unittest

import yaml

from charts import cases, env_of, install_notes, manifests, one, with_values


def agent(case):
    """The DaemonSet's spec, its pod's spec, and the agent's container."""
    spec = one(manifests("dt-chart", case), "DaemonSet")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    return spec, pod, container


class Agent(unittest.TestCase):
    def test_defaults(self):
        spec, pod, container = agent("defaults")
        self.assertEqual(container["args"], ["agent"])
        self.assertTrue(pod["hostNetwork"])
        self.assertEqual(pod["dnsPolicy"], "ClusterFirstWithHostNet")
        self.assertNotIn("tolerations", pod, "the control plane only by value")
        self.assertEqual(spec["updateStrategy"], {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}})
        self.assertEqual(container["livenessProbe"]["httpGet"], {"path": "/livez", "port": "http"})
        self.assertEqual(container["readinessProbe"]["httpGet"], {"path": "/readyz", "port": "http"})
        # SIGTERM drains within 5 s.
        self.assertGreater(pod["terminationGracePeriodSeconds"], 5)
        env = env_of(container)
        self.assertEqual(env["DT_NODE"], "node-1")
        self.assertEqual(env["DT_KUBERNETES_NODE_LABELS"], "true")
        self.assertEqual(env["REGISTER_PUBLIC_DNS"], "10.1.2.3")
        self.assertEqual(env["REGISTER_LISTENER_DNS"], "0.0.0.0")
        self.assertEqual(env["DT_WINDOW"], "60s")
        self.assertEqual(env["SERVERS_ZK"], "service-zookeeper.dt.svc.cluster.local:2181")
        self.assertEqual(env["KAFKA_BOOTSTRAP_SERVERS"], "service-kafka.dt.svc.cluster.local:9092")

    def test_the_kafka_chart_makes_the_service_that_agents_look_for(self):
        server = env_of(agent("defaults")[2])["KAFKA_BOOTSTRAP_SERVERS"]
        service = one(manifests("kafka", "defaults"), "Service", "service-kafka")
        self.assertEqual(server.split(".")[0], service["metadata"]["name"])
        self.assertEqual(int(server.split(":")[1]), service["spec"]["ports"][0]["port"])

    def test_the_subchart_makes_the_service_that_agents_look_for(self):
        for case in ("defaults", "no-persistence", "ensemble"):
            name, port = env_of(agent(case)[2])["SERVERS_ZK"].split(":")
            service = one(manifests("dt-chart", case), "Service", name.split(".")[0])
            self.assertEqual(int(port), service["spec"]["ports"][0]["port"])

    def test_two_ways_without_privilege(self):
        add = {"drop": ["ALL"], "add": ["NET_RAW"]}
        nonroot = agent("defaults")[2]["securityContext"]
        # A file capability counts as escalation: forbidding it would take NET_RAW away.
        self.assertEqual(
            nonroot,
            {
                "privileged": False, "allowPrivilegeEscalation": True, "readOnlyRootFilesystem": True,
                "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "capabilities": add,
            },
        )
        root = agent("root")[2]["securityContext"]
        self.assertEqual(
            root,
            {
                "privileged": False, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                "runAsNonRoot": False, "runAsUser": 0, "runAsGroup": 0, "capabilities": add,
            },
        )
        self.assertTrue(agent("privileged")[2]["securityContext"]["privileged"])

    def test_restricted(self):
        _, pod, container = agent("restricted")
        self.assertFalse(pod["hostNetwork"])
        self.assertEqual(pod["dnsPolicy"], "ClusterFirst")
        self.assertFalse(pod["automountServiceAccountToken"])
        self.assertEqual(container["securityContext"]["capabilities"], {"drop": ["ALL"]})
        self.assertFalse(container["securityContext"]["allowPrivilegeEscalation"])
        self.assertEqual(pod["securityContext"]["sysctls"][0]["name"], "net.ipv4.ping_group_range")
        self.assertEqual(env_of(container)["REGISTER_PUBLIC_DNS"], "10.244.0.7")
        kinds = {document["kind"] for document in manifests("dt-chart", "restricted")}
        self.assertNotIn("ClusterRole", kinds)

    def test_never_localhost(self):
        for case in cases("dt-chart"):
            for name, value in env_of(agent(case)[2]).items():
                if name != "DT_HTTP":
                    self.assertNotIn("localhost", value)
                    self.assertNotIn("127.0.0.1", value)

    def test_rights_in_the_cluster_are_one_verb_on_nodes(self):
        documents = manifests("dt-chart", "defaults")
        rules = one(documents, "ClusterRole")["rules"]
        self.assertEqual(rules, [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}])
        binding = one(documents, "ClusterRoleBinding")
        self.assertEqual(binding["roleRef"]["name"], one(documents, "ClusterRole")["metadata"]["name"])
        account = one(documents, "ServiceAccount")["metadata"]
        self.assertEqual(binding["subjects"][0]["name"], account["name"])
        self.assertEqual(binding["subjects"][0]["namespace"], account["namespace"])
        self.assertEqual(agent("defaults")[1]["serviceAccountName"], account["name"])

    def test_where_it_runs(self):
        self.assertEqual(agent("all-nodes")[1]["tolerations"], [{"operator": "Exists"}])
        self.assertEqual(agent("all-nodes")[1]["priorityClassName"], "system-node-critical")
        tolerations = agent("control-plane")[1]["tolerations"]
        self.assertEqual(tolerations[0]["key"], "node-role.kubernetes.io/control-plane")
        self.assertEqual(tolerations[1]["key"], "dedicated")
        self.assertEqual(agent("control-plane")[0]["updateStrategy"], {"type": "OnDelete"})
        self.assertNotIn("priorityClassName", agent("control-plane")[1])
        own = one(manifests("dt-chart", "defaults"), "PriorityClass")
        self.assertEqual(agent("defaults")[1]["priorityClassName"], own["metadata"]["name"])

    def test_external_services(self):
        _, pod, container = agent("external")
        env = env_of(container)
        self.assertTrue(env["SERVERS_ZK"].startswith("zk-1.example.com:2181,"))
        self.assertTrue(env["KAFKA_BOOTSTRAP_SERVERS"].startswith("kafka-1.example.com:9093,"))
        self.assertIn("--kafka-options=metadata.max.age.ms=1500000", container["args"])
        self.assertIn("--kafka-options=socket.keepalive.enable=true", container["args"])
        self.assertIn("DT_KAFKA_OPTIONS", env)
        self.assertFalse([d for d in manifests("dt-chart", "external") if d["kind"] == "StatefulSet"])

    def test_a_mounted_secret_and_a_spool(self):
        _, pod, container = agent("mounted-secret")
        self.assertEqual(env_of(container)["DT_KAFKA_OPTIONS_FILE"], "/etc/kafka-client/options")
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        self.assertEqual(mounts["kafka-client"], {"name": "kafka-client", "mountPath": "/etc/kafka-client", "readOnly": True})
        self.assertEqual(mounts["spool"]["mountPath"], env_of(container)["DT_KAFKA_SPOOL"])
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        self.assertEqual(set(volumes), set(mounts))
        self.assertEqual(volumes["spool"]["hostPath"], {"path": "/var/lib/distributed-trace", "type": "Directory"})
        collector = one(manifests("dt-chart", "mounted-secret"), "Deployment")["spec"]["template"]["spec"]
        (reader,) = collector["containers"]
        self.assertEqual(env_of(reader)["DT_KAFKA_OPTIONS_FILE"], "/etc/kafka-client/options")
        self.assertEqual({volume["name"] for volume in collector["volumes"]}, {"kafka-client", "more"})
        self.assertEqual(agent("spool")[1]["volumes"], [{"name": "spool", "emptyDir": {"sizeLimit": "128Mi"}}])
        self.assertNotIn("volumes", agent("defaults")[1])

    def test_numbers_and_lists_are_text_the_agent_reads(self):
        env = env_of(agent("every-setting")[2])
        self.assertEqual(env["DT_MAX_RATE"], "1000000")
        self.assertEqual(env["DT_PROBE"], "icmp,tcp")
        self.assertEqual(env["DT_KAFKA_BUCKETS"], "false")
        self.assertEqual(env["DT_ICMP_PAYLOAD_BYTES"], "1000")

    def test_monitoring_names_one_job(self):
        monitor = one(manifests("dt-chart", "monitoring"), "PodMonitor")
        relabelings = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
        self.assertIn({"targetLabel": "job", "replacement": "dt-agent"}, relabelings)
        rules = one(manifests("dt-chart", "monitoring"), "PrometheusRule")["spec"]["groups"][0]["rules"]
        names = [rule["alert"] for rule in rules]
        self.assertIn("DtAgentDown", names)
        self.assertNotIn("DtIntervalsStretched", names)

    def test_network_policies(self):
        documents = manifests("dt-chart", "pod-network")
        policy = one(documents, "NetworkPolicy", "distributed-trace-agent")
        probes = policy["spec"]["ingress"][0]
        self.assertNotIn("ports", probes, "a rule with ports leaves ICMP out")
        documents = manifests("dt-chart", "ensemble")
        (only,) = [d for d in documents if d["kind"] == "NetworkPolicy"]
        cidrs = [peer["ipBlock"]["cidr"] for peer in only["spec"]["ingress"][0]["from"] if "ipBlock" in peer]
        self.assertEqual(cidrs, ["10.0.0.0/8", "fd00::/8"])

    def test_zookeeper(self):
        documents = manifests("dt-chart", "ensemble")
        stateful = one(documents, "StatefulSet")["spec"]
        self.assertEqual(stateful["replicas"], 3)
        self.assertEqual(stateful["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"], "5Gi")
        self.assertIn("-Djute.maxbuffer=4194304", yaml.dump(stateful))
        config = one(documents, "ConfigMap")["data"]["zoo.cfg"]
        for number in (1, 2, 3):
            self.assertIn(f"server.{number}=service-zookeeper-{number - 1}.service-zookeeper-headless.dt.svc:2888:3888", config)
        self.assertNotIn("server.", one(manifests("dt-chart", "defaults"), "ConfigMap")["data"]["zoo.cfg"])
        self.assertNotIn("volumeClaimTemplates", one(manifests("dt-chart", "no-persistence"), "StatefulSet")["spec"])

    def test_it_leaves_the_mesh_before_it_ends(self):
        _, pod, container = agent("defaults")
        command = container["lifecycle"]["preStop"]["exec"]["command"]
        self.assertEqual(command, ["/usr/local/bin/dt", "drain", "--wait=6s"])
        self.assertGreater(pod["terminationGracePeriodSeconds"], 6 + 5)
        self.assertNotIn("lifecycle", agent("root")[2], "0 is none")

    def test_notes(self):
        notes = install_notes("dt-chart")
        # In a broker's pod, which may not reach itself by its Service.
        self.assertIn("/opt/kafka/bin/kafka-console-consumer.sh --bootstrap-server localhost:9092", notes)
        self.assertIn("--topic distributedTrace.summaries\n", notes)
        self.assertIn("pod-security.kubernetes.io/enforce=privileged", notes)
        notes = install_notes("dt-chart", "--values", cases("dt-chart")["restricted"])
        self.assertIn("`restricted` is enough", notes)
        self.assertIn("--topic distributedTrace.summaries\n", install_notes("kafka"))

    def test_every_wrong_value_at_once(self):
        result = with_values("dt-chart", {"nodes": 4, "service": {"type": "x"}, "httpPort": 4000})
        for part in ("`nodes` is gone", "`service.type` is gone", "are the same"):
            self.assertIn(part, result.stderr)


if __name__ == "__main__":
    unittest.main()
