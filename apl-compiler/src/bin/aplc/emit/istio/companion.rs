//! The companion as a workload of the mesh.

use super::super::built::Built;
use super::super::yaml::{Map, Yaml};
use super::{Options, PORT, file, object};

const HEADING: &str = "Written by `aplc emit istio`. The companion. The Secret `aplomb-companion` is yours to make: `token`, what callers must present,
and what `companion.json` refers to by environment variable.";

pub(super) fn objects(options: &Options, built: &Built) -> String {
    let namespace = options.companion_namespace.as_str();
    let labels = || Map::new().with("app", "aplomb-companion");
    let account = object("v1", "ServiceAccount", "aplomb-companion", namespace);
    let service = object("v1", "Service", "aplomb-companion", namespace).with(
        "spec",
        Map::new().with("selector", labels()).with(
            "ports",
            vec![
                Map::new()
                    .with("name", "http")
                    .with("port", u64::from(PORT))
                    .with("targetPort", u64::from(PORT)),
            ],
        ),
    );
    let several = !built.embedded_store();
    let replicas: u64 = if several { 2 } else { 1 };
    let workload = object("apps/v1", "StatefulSet", "aplomb-companion", namespace).with(
        "spec",
        Map::new()
            .with("serviceName", "aplomb-companion")
            .with("replicas", replicas)
            .because(if several {
                "Labels lie in the Valkey of the policy; the data volume holds the audit log."
            } else {
                "One: labels lie on its own disk. A store that replicas share is `session_store: {kind: valkey}`."
            })
            .with("selector", Map::new().with("matchLabels", labels()))
            .with(
                "template",
                Map::new()
                    .with("metadata", pod_metadata(labels(), several))
                    .with("spec", pod(options, several)),
            )
            .with("volumeClaimTemplates", vec![claim()]),
    );
    let mut objects = vec![account, service, workload];
    if several {
        let budget = object("policy/v1", "PodDisruptionBudget", "aplomb-companion", namespace);
        let spec = Map::new()
            .with("maxUnavailable", 1_u64)
            .because("Nodes are emptied one after the other.")
            .with("selector", Map::new().with("matchLabels", labels()));
        objects.push(budget.with("spec", spec));
    }
    file(HEADING, objects)
}

fn pod_metadata(labels: Map, several: bool) -> Map {
    let metadata = Map::new().with("labels", labels);
    if !several {
        return metadata;
    }
    metadata.with(
        "annotations",
        Map::new()
            .with("proxy.istio.io/config", "terminationDrainDuration: 20s")
            .because("A sidecar must not end before what it serves."),
    )
}

/// One companion on each node, while there are nodes.
fn apart() -> Map {
    Map::new()
        .with("maxSkew", 1_u64)
        .with("topologyKey", "kubernetes.io/hostname")
        .with("whenUnsatisfiable", "ScheduleAnyway")
        .with(
            "labelSelector",
            Map::new().with("matchLabels", Map::new().with("app", "aplomb-companion")),
        )
}

fn pod(options: &Options, several: bool) -> Map {
    let mut arguments = vec![
        "serve",
        "--config=/etc/aplomb/companion.json",
        "--data=/var/lib/aplomb",
        "--listen=0.0.0.0:9470",
        "--token-env=APLOMB_COMPANION_TOKEN",
    ];
    if several {
        // One alone has nobody to hand over to.
        arguments.push("--drain=10");
    }
    let probe = |path: &str| {
        Map::new().with(
            "httpGet",
            Map::new().with("path", path).with("port", u64::from(PORT)),
        )
    };
    let container = Map::new()
        .with("name", "companion")
        .with("image", options.companion_image.as_str())
        .with("args", arguments)
        .with(
            "env",
            vec![Map::new().with("name", "APLOMB_COMPANION_TOKEN").with(
                "valueFrom",
                Map::new().with(
                    "secretKeyRef",
                    Map::new().with("name", "aplomb-companion").with("key", "token"),
                ),
            )],
        )
        .with(
            "envFrom",
            vec![Map::new().with("secretRef", Map::new().with("name", "aplomb-companion"))],
        )
        .because("What `companion.json` refers to with `env`.")
        .with("ports", vec![Map::new().with("containerPort", u64::from(PORT))])
        .with("readinessProbe", probe("/readyz").with("periodSeconds", 2_u64))
        .with("livenessProbe", probe("/healthz"))
        .with(
            "resources",
            Map::new()
                .with("requests", Map::new().with("cpu", "100m").with("memory", "64Mi"))
                .with("limits", Map::new().with("memory", "256Mi")),
        )
        .with(
            "securityContext",
            Map::new()
                .with("allowPrivilegeEscalation", false)
                .with("readOnlyRootFilesystem", true)
                .with("capabilities", Map::new().with("drop", vec!["ALL"])),
        )
        .with(
            "volumeMounts",
            vec![
                Map::new().with("name", "config").with("mountPath", "/etc/aplomb"),
                Map::new()
                    .with("name", "data")
                    .with("mountPath", "/var/lib/aplomb"),
            ],
        );
    Map::new()
        .with("serviceAccountName", "aplomb-companion")
        .with("automountServiceAccountToken", false)
        .with(
            "securityContext",
            Map::new()
                .with("runAsNonRoot", true)
                .with("runAsUser", 65532_u64)
                .with("fsGroup", 65532_u64)
                .with("seccompProfile", Map::new().with("type", "RuntimeDefault")),
        )
        .with("terminationGracePeriodSeconds", 30_u64)
        .because("More than `--drain`, and 10 seconds for what is running.")
        .with_some("topologySpreadConstraints", several.then(|| vec![apart()]))
        .with("containers", vec![container])
        .with(
            "volumes",
            vec![
                Map::new()
                    .with("name", "config")
                    .with("configMap", Map::new().with("name", "aplomb-companion")),
            ],
        )
}

fn claim() -> Map {
    Map::new().with("metadata", Map::new().with("name", "data")).with(
        "spec",
        Map::new()
            .with("accessModes", Yaml::from(vec!["ReadWriteOnce"]))
            .with(
                "resources",
                Map::new().with("requests", Map::new().with("storage", "10Gi")),
            ),
    )
}
