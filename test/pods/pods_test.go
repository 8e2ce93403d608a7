package pods

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kuberuntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
)

const secret = "s3cret"

// rig is a cluster of objects alone, with the pods echo and sleep of the namespace shop
// in a mesh, and plain beside it.
type rig struct {
	t *testing.T
	*Pods
	client kubernetes.Interface
	// control speaks with control APIs through the proxy.
	control *http.Client
	egress  string
	stop    context.CancelFunc
}

func start(t *testing.T, objects ...kuberuntime.Object) *rig {
	t.Helper()
	objects = append(objects,
		meshPod("echo", "10.128.0.2", 3000), meshPod("sleep", "10.128.0.3", 8081), appPod("plain", "10.128.0.4", 80),
		service("echo-mesh", 8080), slice("echo-mesh", 8080, "10.128.0.2"),
	)
	client := fake.NewClientset(objects...)
	ctx, cancel := context.WithCancel(t.Context())
	dir, err := os.MkdirTemp("", "pods-") // t.TempDir has long names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	egress, err := NewEgress(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(ctx, client, Options{Keys: []string{"key"}, ReloadTick: time.Millisecond, Egress: egress.Socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); p.Wait() })
	proxy, err := url.Parse(p.Proxy())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy)}
	t.Cleanup(transport.CloseIdleConnections)
	return &rig{t, p, client, &http.Client{Transport: transport}, egress.Socket, cancel}
}

func meshSecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cuegate-mesh"}, Data: map[string][]byte{"gateway-secret": []byte(secret)}}
}

// appPod is a pod of the Deployment of its name that runs.
func appPod(name, ip string, port int32) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name + "-5d4f-x", UID: types.UID(name), Labels: map[string]string{"pod-template-hash": "5d4f"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: name + "-5d4f", Controller: new(true)}},
		},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: name, Ports: []corev1.ContainerPort{{ContainerPort: port}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip},
	}
}

// meshPod is one with a sidecar.
func meshPod(name, ip string, port int32) *corev1.Pod {
	pod := appPod(name, ip, port)
	pod.Labels[sidecarLabel] = "true"
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "127.0.0.1", Hostnames: []string{"mesh"}}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "ca", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: "cuegate-mesh-ca"}, Optional: new(true),
	}}}}
	pod.Spec.InitContainers = []corev1.Container{{
		Name:  "tyk-mesh",
		Ports: []corev1.ContainerPort{{Name: "tyk-mesh", ContainerPort: 8080}, {Name: controlPortName, ContainerPort: 9696}},
		Env: []corev1.EnvVar{
			{Name: "TYK_GW_LISTENPORT", Value: "80"}, {Name: "TYK_GW_CONTROLAPIPORT", Value: "9696"},
			{Name: "TYK_GW_DISABLEPORTWHITELIST", Value: "true"}, {Name: "TYK_GW_ENABLECUSTOMDOMAINS", Value: "true"},
			{Name: "TYK_GW_HTTPSERVEROPTIONS_ENABLESTRICTROUTES", Value: "true"},
			{Name: "TYK_GW_SECRET", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: "cuegate-mesh"}, Key: "gateway-secret",
			}}},
			{Name: "SSL_CERT_DIR", Value: "/etc/ssl/certs:/etc/mesh"},
		},
		VolumeMounts: []corev1.VolumeMount{{Name: "ca", MountPath: "/etc/mesh"}},
	}}
	return pod
}

func service(name string, port int32) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "mesh", Port: port}}}}
}

func slice(service string, port int32, ips ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: service + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		Ports:      []discoveryv1.EndpointPort{{Name: new("mesh"), Port: &port}},
	}
	for _, ip := range ips {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}})
	}
	return s
}

// push has the sidecar of a pod load a definition, given as pairs of fields and values.
func (r *rig) push(ip, id string, fields ...any) {
	r.t.Helper()
	api := map[string]any{
		"api_id": id, "org_id": "O", "name": id, "active": true, "use_keyless": true,
		"definition": map[string]any{}, "version_data": map[string]any{"not_versioned": true, "versions": map[string]any{"Default": map[string]any{"name": "Default"}}},
	}
	for i := 0; i+1 < len(fields); i += 2 {
		api[fields[i].(string)] = fields[i+1]
	}
	body, err := json.Marshal(api)
	if err != nil {
		r.t.Fatal(err)
	}
	r.send("POST", ip, "/tyk/apis", body)
	r.send("GET", ip, "/tyk/reload?block=true", nil)
}

// send makes a call of the control API, once it is there.
func (r *rig) send(method, ip, path string, body []byte) {
	r.t.Helper()
	var what string
	eventually(r.t, method+" "+path, func() bool {
		req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+ip+":9696"+path, bytes.NewReader(body))
		if err != nil {
			r.t.Fatal(err)
		}
		req.Header.Set("x-tyk-authorization", secret)
		resp, err := r.control.Do(req)
		if err != nil {
			what = err.Error()
			return false
		}
		defer resp.Body.Close()
		what = resp.Status
		return resp.StatusCode == http.StatusOK
	}, &what)
}

// inbound and mesh are the two definitions of echo.
func (r *rig) inbound(fields ...any) {
	r.t.Helper()
	r.push("10.128.0.2", "echo-inbound", append([]any{"listen_port", 8080, "protocol", "http",
		"proxy", map[string]any{"listen_path": "/", "target_url": "http://127.0.0.1:3000"}}, fields...)...)
}

func (r *rig) mesh(target string, fields ...any) {
	r.t.Helper()
	r.push("10.128.0.3", "echo-mesh", append([]any{"domain", "mesh",
		"proxy", map[string]any{"listen_path": "/echo/", "target_url": target, "strip_listen_path": true}}, fields...)...)
}

func eventually(t *testing.T, what string, ok func() bool, last *string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not yet: %s; at last: %s", what, *last)
		}
	}
}

// answers waits until a call is answered so, "200 pod" or "500 text".
func (r *rig) answers(want, from, url string, header http.Header) Answer {
	r.t.Helper()
	var last string
	var answer Answer
	eventually(r.t, from+" calls "+url+": "+want, func() bool {
		a, err := r.Call(r.t.Context(), from, url, header)
		if answer = a; err != nil {
			last = err.Error()
		} else if a.Pod != "" {
			last = fmt.Sprint(a.Status, " ", a.Pod)
		} else {
			last = fmt.Sprint(a.Status, " ", a.Text)
		}
		return strings.Contains(last, want)
	}, &last)
	return answer
}

// A request goes from app to app through both sidecars.
func TestCall(t *testing.T) {
	r := start(t, meshSecret())
	r.mesh("http://echo-mesh.shop:8080")
	r.answers("500 "+`{"error": "There was a problem proxying the request"}`, "Deployment/shop/sleep", "http://mesh/echo/x", nil)
	r.inbound()
	a := r.answers("200 echo-5d4f-x", "Deployment/shop/sleep", "http://mesh/echo/x?y=1", http.Header{"X-Mine": {"z"}})
	if a.Workload != "Deployment/shop/echo" || a.URL != "/x?y=1" || a.Header.Get("X-Mine") != "z" || a.Header.Get("X-Forwarded-For") == "" {
		t.Errorf("the app saw %+v", a.Seen)
	}
	r.answers("404", "Deployment/shop/sleep", "http://mesh/other", nil)
	r.answers("no pod of Deployment/shop/nobody runs", "Deployment/shop/nobody", "http://mesh/echo/x", nil)
	// past the sidecar of the caller, from a pod and from outside
	for _, from := range []string{"Deployment/shop/plain", ""} {
		r.answers("200 echo-5d4f-x", from, "http://echo-mesh.shop.svc:8080/x", nil)
		r.answers("200 plain-5d4f-x", from, "http://10.128.0.4/", nil)
		r.answers("connection refused", from, "http://10.128.0.4:81/", nil)
		r.answers("no such host", from, "http://mesh/echo/x", nil)
	}
	r.answers("connection refused", "", "http://echo-mesh.shop:81/", nil)

	// with a key
	r.inbound("use_keyless", false, "use_standard_auth", true)
	r.answers("401", "Deployment/shop/sleep", "http://mesh/echo/x", nil)
	r.answers("200 echo-5d4f-x", "Deployment/shop/sleep", "http://mesh/echo/x", http.Header{"Authorization": {"key"}})
}

// By a proxy somebody asks as an app does.
func TestProxyFrom(t *testing.T) {
	r := start(t, meshSecret())
	r.mesh("http://echo-mesh.shop:8080")
	r.inbound()
	from, err := r.ProxyFrom(t.Context(), "Deployment/shop/sleep")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(u)}
	defer transport.CloseIdleConnections()
	for address, want := range map[string]string{"http://mesh/echo/x": "200 echo-5d4f-x", "http://nobody/x": "502 "} {
		resp, err := (&http.Client{Transport: transport}).Get(address)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := readAnswer(resp); err != nil || fmt.Sprint(a.Status, " ", a.Pod) != want {
			t.Errorf("%s answers %+v, %v", address, a, err)
		}
	}
}

// The ports of a sidecar are for one thing each.
func TestPortsOfSidecar(t *testing.T) {
	r := start(t, meshSecret())
	r.mesh("http://echo-mesh.shop:8080")
	r.answers("404", "", "http://10.128.0.3:9696/echo/x", nil)
	r.answers("200", "", "http://10.128.0.3:9696/hello", nil)
	r.answers("404", "Deployment/shop/sleep", "http://mesh/tyk/apis", nil)
	s := r.Sidecars("Deployment/shop/sleep")
	if len(s) != 1 || s[0].Secret != secret || s[0].IP != "10.128.0.3" || len(s[0].Files.Files()) != 1 {
		t.Fatalf("the sidecars are %+v", s)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s[0].AppSide+"/echo/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "mesh"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 500 { // nobody loaded inbound
		t.Errorf("the app side answers with %d", resp.StatusCode)
	}
}

// A sidecar starts when its Secret is there, and trusts what it finds at its first
// handshake.
func TestSidecarWaits(t *testing.T) {
	r := start(t)
	r.answers("200 sleep-5d4f-x", "", "http://10.128.0.3:8081/", nil)
	r.answers("connection refused", "", "http://10.128.0.3:9696/hello", nil)
	if _, err := r.client.CoreV1().Secrets("shop").Create(t.Context(), meshSecret(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.answers("200", "", "http://10.128.0.3:9696/hello", nil)

	ca, pair := newPair(t, "echo-mesh.shop")
	r.send("POST", "10.128.0.2", "/tyk/certs?org_id=O", pair)
	id := certificateID(t, pair)
	r.inbound("protocol", "https", "domain", "echo-mesh.shop", "certificates", []string{id})
	if _, err := r.client.CoreV1().ConfigMaps("shop").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cuegate-mesh-ca"}, Data: map[string]string{"ca.crt": string(ca)},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.mesh("https://echo-mesh.shop:8080")
	r.answers("200 echo-5d4f-x", "Deployment/shop/sleep", "http://mesh/echo/x", nil)
	if err := r.client.CoreV1().ConfigMaps("shop").Delete(t.Context(), "cuegate-mesh-ca", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.answers("200 echo-5d4f-x", "Deployment/shop/sleep", "http://mesh/echo/x", nil)

	// one that comes now trusts nobody
	late := meshPod("late", "10.128.0.5", 1234)
	if _, err := r.client.CoreV1().Pods("shop").Create(t.Context(), late, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.push("10.128.0.5", "echo-mesh", "domain", "mesh", "proxy", map[string]any{"listen_path": "/echo/", "target_url": "https://echo-mesh.shop:8080"})
	r.answers("500", "Deployment/shop/late", "http://mesh/echo/x", nil)
}

// The rules that an init container writes hold for the app, and keep others out.
func TestInterception(t *testing.T) {
	pod := meshPod("caught", "10.128.0.9", 80)
	env := pod.Spec.InitContainers[0].Env
	env[slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == "TYK_GW_LISTENPORT" })].Value = "8000"
	pod.Spec.InitContainers = append([]corev1.Container{{Name: "tyk-mesh-init", Command: []string{"sh", "-euc", `iptables -t nat -A OUTPUT -p tcp -d 127.0.0.1/32 --dport 80 -m owner ! --uid-owner 1337 -j REDIRECT --to-ports 8000
iptables -t nat -A OUTPUT -p tcp -d 127.0.0.1/32 --dport 6767 -j REDIRECT --to-ports 80
iptables -A INPUT -p tcp ! -i lo --dport 8000 -j DROP`}}}, pod.Spec.InitContainers...)
	r := start(t, meshSecret(), pod)
	r.push("10.128.0.9", "self", "domain", "mesh", "proxy", map[string]any{"listen_path": "/self/", "target_url": "http://127.0.0.1:80", "strip_listen_path": true})
	r.push("10.128.0.9", "old", "domain", "mesh", "proxy", map[string]any{"listen_path": "/old/", "target_url": "http://localhost:6767", "strip_listen_path": true})
	for _, route := range []string{"self", "old"} {
		a := r.answers("200 caught-5d4f-x", "Deployment/shop/caught", "http://mesh/"+route+"/x", nil)
		if a.Header.Get("X-Forwarded-For") == "" {
			t.Errorf("%s did not pass through the sidecar", route)
		}
	}
	r.answers("connection refused", "Deployment/shop/plain", "http://10.128.0.9:8000/self/x", nil)
	r.answers("200 caught-5d4f-x", "Deployment/shop/plain", "http://10.128.0.9/x", nil)
}

// What goes is closed: a pod that is deleted, and all when the context ends.
func TestEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	r := start(t, meshSecret())
	r.mesh("http://echo-mesh.shop:8080")
	r.inbound()
	r.answers("200 echo-5d4f-x", "Deployment/shop/sleep", "http://mesh/echo/x", nil)
	side := r.Sidecars("Deployment/shop/sleep")[0].AppSide
	if err := r.client.CoreV1().Pods("shop").Delete(t.Context(), "echo-5d4f-x", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.answers("500", "Deployment/shop/sleep", "http://mesh/echo/x", nil)
	if len(r.Sidecars("Deployment/shop/echo")) != 0 {
		t.Error("the sidecar of a pod that is gone still runs")
	}
	r.stop()
	r.Wait()
	for _, address := range []string{side, strings.TrimPrefix(r.Proxy(), "http://")} {
		if resp, err := http.Get("http://" + address); err == nil {
			resp.Body.Close()
			t.Errorf("%s still listens", address)
		}
	}
	if len(r.network.open) != 0 {
		t.Errorf("still open: %v", r.network.open)
	}
	r.control.CloseIdleConnections()
	var last string
	eventually(t, "all goroutines have ended", func() bool {
		last = fmt.Sprintf("%d, and %d at the beginning", runtime.NumGoroutine(), before)
		return runtime.NumGoroutine() <= before
	}, &last)
}

// A program in another process reaches https addresses through the proxy as well.
func TestTunnel(t *testing.T) {
	r := start(t, meshSecret())
	ca, pair := newPair(t, "echo-mesh.shop")
	r.send("POST", "10.128.0.2", "/tyk/certs?org_id=O", pair)
	r.inbound("protocol", "https", "domain", "echo-mesh.shop", "certificates", []string{certificateID(t, pair)})
	r.control.Transport.(*http.Transport).TLSClientConfig = trusting(ca)
	var last string
	eventually(t, "a call through the tunnel", func() bool {
		resp, err := r.control.Get("https://echo-mesh.shop:8080/x")
		if err != nil {
			last = err.Error()
			return false
		}
		a, err := readAnswer(resp)
		last = fmt.Sprint(a.Status, a.Pod, err)
		return a.Pod == "echo-5d4f-x"
	}, &last)
	r.control.CloseIdleConnections()
	if _, err := r.control.Get("https://nobody.shop:8080/x"); err == nil {
		t.Error("a name that is not known is reached")
	}
}

// The API server comes by a unix socket to what stands in an EndpointSlice and runs in
// no pod, by the address of a Service.
func TestEgress(t *testing.T) {
	hook := service("hook", 443)
	hook.Spec.ClusterIP = "10.0.0.9"
	r := start(t, hook)
	server := httptest.NewServer(app("hook", "hook"))
	defer server.Close()
	for _, loopback := range []string{"127.0.0.1:1", strings.TrimPrefix(server.URL, "http://")} { // the last counts
		if err := r.Stand(t.Context(), "shop", "hook", "mesh", 9443, loopback); err != nil {
			t.Fatal(err)
		}
	}
	var last string
	eventually(t, "the Service leads there", func() bool {
		_, err := r.Call(t.Context(), "", "http://10.0.0.9:443/x", nil)
		last = fmt.Sprint(err)
		return err == nil
	}, &last)
	for address, want := range map[string]int{
		"10.0.0.9:443": 200, "192.0.2.20:9443": 200, strings.TrimPrefix(server.URL, "http://"): 200, "10.0.0.9:80": 502,
	} {
		c, err := net.Dial("unix", r.egress)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", address)
		answers := bufio.NewReader(c)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s: %v %v", address, resp, err)
		}
		if want != 200 {
			continue
		}
		fmt.Fprintf(c, "GET /x HTTP/1.1\r\nHost: hook\r\n\r\n")
		if resp, err = http.ReadResponse(answers, nil); err != nil {
			t.Fatal(err)
		}
		if a, err := readAnswer(resp); err != nil || a.Pod != "hook" {
			t.Errorf("%s answered %+v, %v", address, a, err)
		}
	}
}
