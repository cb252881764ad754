// Package podcost tells Kubernetes how many jobs run in a pod, by the annotation
// controller.kubernetes.io/pod-deletion-cost (KEP-2255): when a ReplicaSet is to have
// fewer pods, those with the lowest cost go first. Kubernetes promises no more than to
// try.
package podcost

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	annotation = "controller.kubernetes.io/pod-deletion-cost"
	// mounted is where the kubelet keeps what a pod needs to speak with the API.
	mounted = "/var/run/secrets/kubernetes.io/serviceaccount"
	// often is the least time between two changes: each is a write in etcd that every
	// watcher of pods hears of.
	often    = 30 * time.Second
	patience = 5 * time.Second
	farewell = time.Second
)

// Teller tells the cost of one pod.
type Teller struct {
	url    string
	token  string // the file; the kubelet renews what is in it
	client *http.Client
	log    *slog.Logger

	// These belong to Run.
	told    int // -1: nothing yet
	failure string
}

// New makes the teller of the pod that this process runs in.
func New(getenv func(string) string, log *slog.Logger) (*Teller, error) {
	return newTeller(getenv, mounted, log)
}

func newTeller(getenv func(string) string, dir string, log *slog.Logger) (*Teller, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), cmp.Or(getenv("KUBERNETES_SERVICE_PORT"), "443")
	if host == "" {
		return nil, errors.New("podcost: KUBERNETES_SERVICE_HOST is not set: pod deletion cost is there only in Kubernetes")
	}
	// Not from the host name, which a pod may have from its node.
	pod := cmp.Or(getenv("EBB_POD_NAME"), getenv("POD_NAME"))
	if pod == "" {
		return nil, errors.New("podcost: EBB_POD_NAME is not set: pass metadata.name by fieldRef")
	}
	namespace := cmp.Or(getenv("EBB_POD_NAMESPACE"), getenv("POD_NAMESPACE"))
	if namespace == "" {
		text, err := os.ReadFile(filepath.Join(dir, "namespace"))
		if err != nil {
			return nil, fmt.Errorf("podcost: find the pod's namespace: %w", err)
		}
		namespace = strings.TrimSpace(string(text))
	}
	authority, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("podcost: read who vouches for the API: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("podcost: %s has no certificate", filepath.Join(dir, "ca.crt"))
	}
	return &Teller{
		url: fmt.Sprintf("https://%s/api/v1/namespaces/%s/pods/%s?fieldManager=ebb",
			net.JoinHostPort(host, port), url.PathEscape(namespace), url.PathEscape(pod)),
		token: filepath.Join(dir, "token"), log: log, told: -1,
		client: &http.Client{
			// No proxy is asked: the address is of this cluster.
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
			Timeout:   patience,
			// The token is for nobody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Run tells how many jobs run, when that is another number than was told, until ctx
// ends. What cannot be told is logged, once for each cause, and tried again.
func (t *Teller) Run(ctx context.Context, busy func() int) {
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		t.tell(ctx, busy())
		select {
		case <-tick.C:
		case <-ctx.Done():
			// A program that goes on without jobs costs nothing.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
			defer cancel()
			t.tell(last, 0)
			return
		}
	}
}

func (t *Teller) tell(ctx context.Context, busy int) {
	if busy == t.told {
		return
	}
	err := t.patch(ctx, busy)
	switch {
	case err == nil:
		t.told = busy
		if t.failure != "" {
			t.log.Info("Kubernetes is told again how busy this pod is")
		}
		t.failure = ""
	case err.Error() != t.failure && ctx.Err() == nil:
		t.failure = err.Error()
		t.log.Warn("Kubernetes is not told how busy this pod is", "cause", err)
	}
}

// patch changes the annotation and leaves all others as they are.
func (t *Teller) patch(ctx context.Context, cost int) error {
	token, err := os.ReadFile(t.token)
	if err != nil {
		return fmt.Errorf("podcost: read token: %w", err)
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotation: strconv.Itoa(cost)}}})
	if err != nil {
		return fmt.Errorf("podcost: encode patch: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPatch, t.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("podcost: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	r.Header.Set("Content-Type", "application/merge-patch+json")
	answer, err := t.client.Do(r)
	if err != nil {
		return fmt.Errorf("podcost: patch pod: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	var status struct{ Message string }
	_ = json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&status) // else the code must do
	return fmt.Errorf("podcost: patch pod: %s: %s", answer.Status, cmp.Or(status.Message, "no further word"))
}
