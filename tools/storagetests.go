// The server that upstream's tests of its storage layer start, when tools/storagetests.py runs them: the program of
// $STORAGE_TESTS_SERVER, with etcd's flags, in place of an etcd in the test's own process.
package testserver

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/server/v3/embed"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
)

const startMost = 30 * time.Second

// NewTestConfig chooses an address and a directory; tests set what else they need.
func NewTestConfig(t testing.TB) *embed.Config {
	probe, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	where := url.URL{Scheme: "http", Host: probe.Addr().String()}
	config := embed.NewConfig()
	config.Dir = t.TempDir()
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{where}, []url.URL{where}
	return config
}

// RunEtcd starts the program and returns a client of it, which counts its calls as upstream's tests expect.
func RunEtcd(t testing.TB, config *embed.Config) *kubernetes.Client {
	t.Helper()
	if config == nil {
		config = NewTestConfig(t)
	}
	where := config.ListenClientUrls[0]
	program := strings.Fields(os.Getenv("STORAGE_TESTS_SERVER"))
	server := exec.Command(program[0], append(program[1:], flags(config)...)...)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	await(t, where.Host)
	tls, err := config.ClientTLSInfo.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.New(clientv3.Config{TLS: tls, Endpoints: []string{where.String()}, DialTimeout: startMost})
	if err != nil {
		t.Fatal(err)
	}
	recorder := storagetesting.NewKubernetesRecorder(client.Kubernetes)
	client.KV, client.Kubernetes = storagetesting.NewKVRecorder(client.KV, recorder), recorder
	return client
}

func flags(config *embed.Config) []string {
	where, tls := config.ListenClientUrls[0].String(), config.ClientTLSInfo
	found := []string{"--data-dir=" + config.Dir, "--listen-client-urls=" + where, "--advertise-client-urls=" + where}
	for name, value := range map[string]string{
		"cert-file": tls.CertFile, "key-file": tls.KeyFile, "trusted-ca-file": tls.TrustedCAFile,
	} {
		if value != "" {
			found = append(found, "--"+name+"="+value)
		}
	}
	if tls.ClientCertAuth {
		found = append(found, "--client-cert-auth")
	}
	if config.WatchProgressNotifyInterval > 0 {
		found = append(found, "--watch-progress-notify-interval="+config.WatchProgressNotifyInterval.String())
	}
	return found
}

func await(t testing.TB, host string) {
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial("tcp", host)
		if err == nil {
			connection.Close()
			return
		}
		if time.Since(begun) > startMost {
			t.Fatal(err)
		}
	}
}
