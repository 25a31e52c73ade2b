package kube

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// ErrNoConfig is the error if there is no kubeconfig and the process does not run in a pod.
var ErrNoConfig = errors.New("no kubeconfig: set KUBECONFIG, or --kubeconfig, to a file with a context for your cluster")

// podNamespace is the file with the namespace of the pod.
const podNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// locate sets the server and the credentials of the client. The sources are, in this order: the endpoint in cfg, the pod's service
// account if cfg requests it, the kubeconfig, and the pod's service account.
func (c *Client) locate(cfg Config) error {
	c.namespace = "default"
	switch {
	case cfg.Endpoint != "":
		return c.locateEndpoint(cfg)
	case cfg.InCluster:
		return c.locatePod()
	}
	raw, err := load(cfg.Kubeconfig)
	if err != nil {
		return err
	}
	if len(raw.Contexts) == 0 && cfg.Context == "" && os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return c.locatePod()
	}
	return c.locateContext(raw, cfg)
}

func (c *Client) locateEndpoint(cfg Config) error {
	authority, err := base64.StdEncoding.DecodeString(cfg.CertificateAuthority)
	if err != nil {
		return errors.New("the certificate authority must be PEM in base64")
	}
	c.rest = &rest.Config{Host: cfg.Endpoint, TLSClientConfig: rest.TLSClientConfig{CAData: authority}}
	if cfg.Token != nil {
		c.rest.WrapTransport = func(next http.RoundTripper) http.RoundTripper { return bearer{next, cfg.Token} }
	}
	return nil
}

// bearer adds a bearer token, which it requests for each call, to requests.
type bearer struct {
	next  http.RoundTripper
	token func(context.Context) (string, error)
}

// RoundTrip sends a copy of the request with the token, because a RoundTripper must not modify the request.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := b.token(r.Context())
	if err != nil {
		return nil, &credentialsError{err}
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(r)
}

// locatePod uses the service account of the pod in which this process runs.
func (c *Client) locatePod() (err error) {
	if c.rest, err = rest.InClusterConfig(); err != nil {
		return fmt.Errorf("use the service account of this pod: %w", err)
	}
	if name, err := os.ReadFile(podNamespace); err == nil {
		c.namespace = strings.TrimSpace(string(name))
	}
	return nil
}

// locateContext uses the context that cfg names, or else the current one.
func (c *Client) locateContext(raw *api.Config, cfg Config) (err error) {
	names := contextNames(raw)
	c.context = orElse(cfg.Context, raw.CurrentContext)
	switch {
	case len(names) == 0:
		return ErrNoConfig
	case c.context == "":
		return fmt.Errorf("the kubeconfig has no current context: choose one of %s", strings.Join(names, ", "))
	case raw.Contexts[c.context] == nil:
		return fmt.Errorf("the kubeconfig has no context %q: choose one of %s", c.context, strings.Join(names, ", "))
	}
	if raw.Contexts[c.context].Namespace != "" {
		c.namespace = raw.Contexts[c.context].Namespace
	}
	c.rest, err = clientcmd.NewNonInteractiveClientConfig(*raw, c.context, nil, nil).ClientConfig()
	if err != nil {
		return fmt.Errorf("context %q: %w", c.context, err)
	}
	return nil
}

// load reads a kubeconfig, which may be a list of files like KUBECONFIG. If kubeconfig is not empty, at least one of its files must
// exist.
func load(kubeconfig string) (*api.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if kubeconfig != "" {
		rules.Precedence = filepath.SplitList(kubeconfig)
		if !slices.ContainsFunc(rules.Precedence, exists) {
			return nil, fmt.Errorf("kubeconfig %s not found", kubeconfig)
		}
	}
	rules.MigrationRules, rules.WarnIfAllMissing = nil, false
	raw, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return raw, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Contexts returns the names of the contexts in the kubeconfig, sorted, and the name of the current one.
func Contexts(kubeconfig string) (names []string, current string, err error) {
	raw, err := load(kubeconfig)
	if err != nil {
		return nil, "", err
	}
	return contextNames(raw), raw.CurrentContext, nil
}

func contextNames(raw *api.Config) []string {
	names := make([]string, 0, len(raw.Contexts))
	for name := range raw.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
