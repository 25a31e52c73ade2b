package awstest

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// EKS is a fake of Amazon EKS. It implements DescribeCluster, and a proxy in front of a real Kubernetes that accepts EKS tokens like the
// authenticator of a real cluster: it decodes the token, asks the emulator's STS who signed it, and looks up the access entry of this
// caller. It forwards the request to the real API server as the user of the entry.
type EKS struct {
	// Name, Endpoint and CA (base64) are the cluster's values in the parameters of a deployment.
	Name, Endpoint, CA string
	// URL is the address of DescribeCluster, for AWS_ENDPOINT_URL_EKS.
	URL string

	mu      sync.Mutex
	entries map[string]Entry // by the caller's ARN from STS, without the name of the session
	mode    string
	private bool
	failing int // how many of the next requests to the cluster fail
	sts     string
	behind  http.Handler
}

// Entry is an access entry: the Kubernetes user and groups of a caller. An Admin has all permissions.
type Entry struct {
	User   string
	Groups []string
	Admin  bool
}

// NewEKS starts the fake in front of the cluster of a kubeconfig. It checks tokens with the emulator's STS.
func NewEKS(t testing.TB, e *Emulator, kubeconfig string) *EKS {
	t.Helper()
	d := &EKS{Name: "eks-cluster", entries: map[string]Entry{}, mode: "API_AND_CONFIG_MAP", sts: e.URL, behind: through(t, kubeconfig)}
	front := httptest.NewTLSServer(http.HandlerFunc(d.serve))
	t.Cleanup(front.Close)
	api := httptest.NewServer(http.HandlerFunc(d.describe))
	t.Cleanup(api.Close)
	d.Endpoint, d.URL = front.URL, api.URL
	d.CA = base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
	return d
}

// Grant adds an access entry. The caller is arn:aws:sts::ACCOUNT:assumed-role/NAME, or the ARN of a user.
func (d *EKS) Grant(caller string, e Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries[caller] = e
}

// Mode sets the authentication mode: API, API_AND_CONFIG_MAP or CONFIG_MAP.
func (d *EKS) Mode(mode string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mode = mode
}

// Private makes DescribeCluster return that the cluster has no public endpoint.
func (d *EKS) Private() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.private = true
}

// Fail makes the next requests to the cluster fail, as behind a load balancer whose API servers are all busy or being replaced.
func (d *EKS) Fail(calls int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing = calls
}

// fails reports whether the current request must fail, and counts it.
func (d *EKS) fails() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing = max(d.failing, 0) - 1
	return d.failing >= 0
}

// describe implements DescribeCluster.
func (d *EKS) describe(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path != "/clusters/"+d.Name {
		w.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message": "No cluster found."}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"cluster": map[string]any{
		"name": d.Name, "endpoint": d.Endpoint, "status": "ACTIVE", "certificateAuthority": map[string]any{"data": d.CA},
		"resourcesVpcConfig": map[string]any{"endpointPublicAccess": !d.private, "endpointPrivateAccess": true},
		"accessConfig":       map[string]any{"authenticationMode": d.mode},
		"identity":           map[string]any{"oidc": map[string]any{"issuer": "https://oidc.eks." + Region + ".amazonaws.com/id/DOUBLE"}},
	}})
}

// serve authenticates a request like a cluster on EKS, and forwards it.
func (d *EKS) serve(w http.ResponseWriter, r *http.Request) {
	if d.fails() {
		http.Error(w, "no API server responds (from the fake EKS)", http.StatusBadGateway)
		return
	}
	caller, err := d.caller(r)
	d.mu.Lock()
	entry, known := d.entries[caller]
	d.mu.Unlock()
	if err != nil || !known {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Unauthorized", "code": 401, "message": %q}`,
			fmt.Sprintf("Unauthorized (from the fake EKS: %s, %v)", caller, err))
		return
	}
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	if !entry.Admin {
		r.Header.Set("Impersonate-User", entry.User)
		r.Header["Impersonate-Group"] = append([]string{"system:authenticated"}, entry.Groups...)
	}
	d.behind.ServeHTTP(w, r)
}

// caller returns the ARN of the caller that signed the token. The token must be a presigned GetCallerIdentity request with the cluster's
// name among the signed headers; the emulator's STS answers it instead of AWS.
func (d *EKS) caller(r *http.Request) (string, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer k8s-aws-v1.")
	if !ok {
		return "", fmt.Errorf("not an EKS token")
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(string(raw))
	if err != nil || u.Host != "sts."+Region+".amazonaws.com" || u.Query().Get("Action") != "GetCallerIdentity" ||
		!strings.Contains(u.Query().Get("X-Amz-SignedHeaders"), "x-k8s-aws-id") {
		return "", fmt.Errorf("not a presigned GetCallerIdentity: %s", raw)
	}
	q := u.Query()
	form := url.Values{"Action": {q.Get("Action")}, "Version": {q.Get("Version")}}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, d.sts+"/", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	// Emulators find the service in a header, not in a presigned URL, and do not verify signatures.
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+q.Get("X-Amz-Credential")+", SignedHeaders=host, Signature="+q.Get("X-Amz-Signature"))
	req.Header.Set("X-Amz-Date", q.Get("X-Amz-Date"))
	if token := q.Get("X-Amz-Security-Token"); token != "" {
		req.Header.Set("X-Amz-Security-Token", token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	var answer struct {
		ARN string `xml:"GetCallerIdentityResult>Arn"`
	}
	if err := xml.Unmarshal(data, &answer); err != nil {
		return "", fmt.Errorf("%w: %s", err, data)
	}
	parts := strings.Split(answer.ARN, "/")
	return strings.Join(parts[:min(2, len(parts))], "/"), nil
}

// through returns a proxy to the API server of a kubeconfig, with its credentials.
func through(t testing.TB, kubeconfig string) http.Handler {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(cfg.Host)
	if err != nil {
		t.Fatal(err)
	}
	p := httputil.NewSingleHostReverseProxy(to)
	if p.Transport, err = rest.TransportFor(cfg); err != nil {
		t.Fatal(err)
	}
	return p
}

// Revoke removes an access entry.
func (d *EKS) Revoke(caller string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.entries, caller)
}
