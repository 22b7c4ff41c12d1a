package deploy

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// kinds of objects that the chart may make. What has no type in the Kubernetes API (Prometheus' and KEDA's) is a map.
var kinds = map[string]func() any{
	"v1/ConfigMap":                            func() any { return &corev1.ConfigMap{} },
	"v1/Secret":                               func() any { return &corev1.Secret{} },
	"v1/Service":                              func() any { return &corev1.Service{} },
	"v1/ServiceAccount":                       func() any { return &corev1.ServiceAccount{} },
	"v1/PersistentVolumeClaim":                func() any { return &corev1.PersistentVolumeClaim{} },
	"v1/Pod":                                  func() any { return &corev1.Pod{} },
	"apps/v1/Deployment":                      func() any { return &appsv1.Deployment{} },
	"apps/v1/StatefulSet":                     func() any { return &appsv1.StatefulSet{} },
	"batch/v1/Job":                            func() any { return &batchv1.Job{} },
	"policy/v1/PodDisruptionBudget":           func() any { return &policyv1.PodDisruptionBudget{} },
	"networking.k8s.io/v1/NetworkPolicy":      func() any { return &networkingv1.NetworkPolicy{} },
	"networking.k8s.io/v1/Ingress":            func() any { return &networkingv1.Ingress{} },
	"autoscaling/v2/HorizontalPodAutoscaler":  func() any { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"monitoring.coreos.com/v1/ServiceMonitor": func() any { return &map[string]any{} },
	"keda.sh/v1alpha1/ScaledObject":           func() any { return &map[string]any{} },
}

// object is one rendered object, decoded strictly: a key that the API does not know is an error.
type object struct {
	kind, name string
	typed      any
	raw        map[string]any
}

func decode(t *testing.T, file, text string) (out []object) {
	t.Helper()
	for _, doc := range strings.Split("\n"+text, "\n---") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		var raw map[string]any
		if err := yaml.UnmarshalStrict([]byte(doc), &raw); err != nil {
			t.Errorf("%s: %v\n%s", file, err, doc)
			continue
		}
		if raw == nil {
			continue
		}
		kind := raw["apiVersion"].(string) + "/" + raw["kind"].(string)
		make, ok := kinds[kind]
		if !ok {
			t.Errorf("%s: unknown kind %s", file, kind)
			continue
		}
		typed := make()
		if err := yaml.UnmarshalStrict([]byte(doc), typed); err != nil {
			t.Errorf("%s: %s: %v", file, kind, err)
		}
		meta := raw["metadata"].(map[string]any)
		out = append(out, object{raw["kind"].(string), meta["name"].(string), typed, raw})
	}
	return out
}

// render renders the chart with values, and fails the test where the schema or a template refuses them.
func render(t *testing.T, values string) ([]object, error) {
	t.Helper()
	c, err := loader.Load(filepath.Join(root(t), "deploy/helm/mcpsiem"))
	if err != nil {
		t.Fatal(err)
	}
	v := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(values), &v); err != nil {
		t.Fatal(err)
	}
	vals, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: "siem", Namespace: "mcpsiem", Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, vals)
	if err != nil {
		return nil, err
	}
	var out []object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			out = append(out, decode(t, name, files[name])...)
		}
	}
	return out, nil
}

const minimal = `
nats: {url: "tls://nats.data:4222"}
clickhouse: {address: "clickhouse.data:9000"}
`

const everything = minimal + `
serviceMonitor: {enabled: true}
ingest:
  tls: {secretName: otlp-tls}
  autoscaling: {enabled: true}
enrich:
  keys: {accessMode: ReadWriteMany, storageClass: nfs}
  autoscaling: {enabled: true, natsMonitoring: "nats.data:8222"}
detect: {replicas: 2, partitions: 4}
retention: {policy: {version: "1", classes: [{preset: standard}]}}
tap: {enabled: true, upstream: "http://tickets.tools:8080", host: tickets.example.com, tls: {secretName: tickets-tls}}
sinks:
  - {name: splunk, type: splunkhec, config: {endpoint: "https://splunk:8088", index: mcp, token: {file: /run/mcpsiem/splunk.token}}, secret: splunk-hec, egress: [{ports: [{port: 8088}]}]}
`

func TestHelmLint(t *testing.T) {
	for name, values := range map[string]string{"minimal": minimal, "everything": everything} {
		v := map[string]any{}
		if err := yaml.Unmarshal([]byte(values), &v); err != nil {
			t.Fatal(err)
		}
		for _, m := range lint.All(filepath.Join(root(t), "deploy/helm/mcpsiem"), v, "mcpsiem", true).Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

// pods are the pod templates of all workloads.
func pods(objects []object) map[string]corev1.PodSpec {
	out := map[string]corev1.PodSpec{}
	for _, o := range objects {
		switch w := o.typed.(type) {
		case *appsv1.Deployment:
			out[o.name] = w.Spec.Template.Spec
		case *appsv1.StatefulSet:
			out[o.name] = w.Spec.Template.Spec
		case *batchv1.Job:
			out[o.name] = w.Spec.Template.Spec
		}
	}
	return out
}

func TestHelmRender(t *testing.T) {
	f := func(values string, want map[string]int) []object {
		t.Helper()
		objects, err := render(t, values)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		seen := map[string]bool{}
		for _, o := range objects {
			got[o.kind]++
			if id := o.kind + "/" + o.name; seen[id] {
				t.Errorf("%s twice", id)
			} else {
				seen[id] = true
			}
		}
		for kind, n := range want {
			if got[kind] != n {
				t.Errorf("%d of %s, want %d (%v)", got[kind], kind, n, got)
			}
		}
		return objects
	}
	f(minimal, map[string]int{"Deployment": 2, "StatefulSet": 2, "Job": 1, "Secret": 1, "ServiceMonitor": 0, "ScaledObject": 0, "Ingress": 0})
	f(minimal+"existingSecret: mine\n", map[string]int{"Secret": 0})
	objects := f(everything, map[string]int{"ServiceMonitor": 1, "HorizontalPodAutoscaler": 1, "ScaledObject": 1, "Ingress": 1, "Deployment": 4})

	names := map[string]bool{}
	for _, o := range objects {
		names[o.kind+"/"+o.name] = true
	}
	for name, spec := range pods(objects) {
		if c := spec.SecurityContext; c == nil || c.RunAsNonRoot == nil || !*c.RunAsNonRoot || c.SeccompProfile == nil {
			t.Errorf("%s: may run as root, or without a seccomp profile", name)
		}
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
			t.Errorf("%s: has a token of the cluster's API", name)
		}
		volumes := map[string]bool{}
		for _, v := range spec.Volumes {
			volumes[v.Name] = true
			if v.ConfigMap != nil && !names["ConfigMap/"+v.ConfigMap.Name] {
				t.Errorf("%s: no ConfigMap %s", name, v.ConfigMap.Name)
			}
			if c := v.PersistentVolumeClaim; c != nil && !names["PersistentVolumeClaim/"+c.ClaimName] {
				t.Errorf("%s: no claim %s", name, c.ClaimName)
			}
		}
		for _, o := range objects {
			if s, ok := o.typed.(*appsv1.StatefulSet); ok && o.name == name {
				for _, c := range s.Spec.VolumeClaimTemplates {
					volumes[c.Name] = true
				}
			}
		}
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			s := c.SecurityContext
			if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Capabilities == nil {
				t.Errorf("%s/%s: writable root, privileges or capabilities", name, c.Name)
			}
			for _, m := range c.VolumeMounts {
				if !volumes[m.Name] {
					t.Errorf("%s/%s mounts %s, which is no volume", name, c.Name, m.Name)
				}
			}
		}
		for _, c := range spec.Containers {
			if c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s/%s: no memory limit", name, c.Name)
			}
			if c.Name != "migrate" && (c.ReadinessProbe == nil || c.LivenessProbe == nil) {
				t.Errorf("%s/%s: no probes", name, c.Name)
			}
		}
	}
	// Every pod is covered by a policy.
	for _, o := range objects {
		d, ok := o.typed.(*appsv1.Deployment)
		if !ok {
			continue
		}
		covered := false
		for _, p := range objects {
			n, ok := p.typed.(*networkingv1.NetworkPolicy)
			if !ok {
				continue
			}
			match := true
			for k, v := range n.Spec.PodSelector.MatchLabels {
				match = match && d.Spec.Template.Labels[k] == v
			}
			covered = covered || match
		}
		if !covered {
			t.Errorf("%s: no network policy", o.name)
		}
	}
}

func TestHelmRefuses(t *testing.T) {
	f := func(values, want string) {
		t.Helper()
		_, err := render(t, values)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(minimal+"enrihc: {}\n", "enrihc")
	f("clickhouse: {address: 'c:9000'}\n", "nats")
	f(minimal+"enrich: {replicas: 3}\n", "ReadWriteMany")
	f(minimal+"detect: {replicas: 3}\n", "partitions")
	f(minimal+"ingest: {replicas: 0}\n", "replicas")
}

// TestHelmRoles validates each rendered configuration with mcpsiem, in the environment of its container.
func TestHelmRoles(t *testing.T) {
	bin := mcpsiem(t)
	objects, err := render(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	secrets := t.TempDir()
	for _, n := range []string{"otlp.token", "nats.password", "clickhouse.password", "clickhouse-remover.password", "identity.key", "master.key", "splunk.token", "tls.crt", "tls.key"} {
		if err := os.WriteFile(filepath.Join(secrets, n), []byte(strings.Repeat("0", 64)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ran := 0
	for name, spec := range pods(objects) {
		for _, c := range spec.Containers {
			if len(c.Args) == 0 || c.Args[0] != "run" {
				continue
			}
			ran++
			dir := t.TempDir()
			for _, v := range spec.Volumes {
				for _, m := range c.VolumeMounts {
					if v.Name != m.Name || v.ConfigMap == nil {
						continue
					}
					for _, o := range objects {
						if cm, ok := o.typed.(*corev1.ConfigMap); ok && o.name == v.ConfigMap.Name {
							for file, text := range cm.Data {
								to := filepath.Join(dir, m.MountPath, file)
								if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, []byte(text), 0o600)); err != nil {
									t.Fatal(err)
								}
							}
						}
					}
				}
			}
			args := []string{"validate"}
			for _, a := range c.Args[1:] {
				if strings.HasPrefix(a, "/") {
					a = filepath.Join(dir, a)
				}
				args = append(args, a)
			}
			cmd := exec.Command(bin, args...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
			for _, e := range c.Env {
				v := e.Value
				if e.Name == "MCPSIEM_SECRETS" || e.Name == "MCPSIEM_TLS" {
					v = secrets
				}
				cmd.Env = append(cmd.Env, e.Name+"="+v)
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %v\n%s", name, args, err, out)
			}
		}
	}
	if ran < 5 {
		t.Errorf("only %d roles were checked", ran)
	}
}

// TestHelmExamples decodes the example manifests as strictly, and holds the chart's copies of role configurations to deploy/config.
func TestHelmExamples(t *testing.T) {
	n := 0
	err := fs.WalkDir(os.DirFS(filepath.Join(root(t), "deploy/helm/examples")), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		b, err := os.ReadFile(filepath.Join(root(t), "deploy/helm/examples", path))
		if err != nil {
			return err
		}
		if strings.HasPrefix(path, "values-") {
			if _, err := render(t, string(b)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		} else {
			n += len(decode(t, path, string(b)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Error("no example manifests")
	}
	copies, err := filepath.Glob(filepath.Join(root(t), "deploy/helm/mcpsiem/config/*.yaml"))
	if err != nil || len(copies) == 0 {
		t.Fatalf("no role configurations in the chart: %v", err)
	}
	for _, c := range copies {
		ours, err1 := os.Open(c)
		theirs, err2 := os.Open(filepath.Join(root(t), "deploy/config", filepath.Base(c)))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		a, _ := io.ReadAll(ours)
		b, _ := io.ReadAll(theirs)
		ours.Close()
		theirs.Close()
		if !bytes.Equal(a, b) {
			t.Errorf("%s is not deploy/config/%s: make helm-config", c, filepath.Base(c))
		}
	}
}
